package catalog_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/catalog"
)

func TestGet(t *testing.T) {
	t.Parallel()
	c := catalog.New[int]("pod")
	c.PutAll(map[string]int{"abc1": 1, "abd2": 2})
	c.Put("fff0", 3)
	for id, want := range map[string]struct {
		value int
		kind  error
		says  string
	}{
		"abc1":                  {1, nil, ""},
		"abd":                   {2, nil, ""},
		"f":                     {3, nil, ""},
		"ab":                    {0, errdefs.ErrInvalidArgument, "several"},
		"00":                    {0, errdefs.ErrNotFound, `pod "00"`},
		"":                      {0, errdefs.ErrInvalidArgument, "pod id is empty"},
		"../x":                  {0, errdefs.ErrNotFound, "../x"},
		strings.Repeat("a", 65): {0, errdefs.ErrNotFound, "aaaa"},
	} {
		value, err := c.Get(id)
		if value != want.value || !errors.Is(err, want.kind) || want.kind == nil && err != nil {
			t.Errorf("%q: %d, %v", id, value, err)
		}
		if err != nil && !strings.Contains(err.Error(), want.says) {
			t.Errorf("%q: %v does not say %q", id, err, want.says)
		}
	}
	c.Delete("fff0")
	c.Delete("fff0")
	if _, err := c.Get("fff0"); !errdefs.IsNotFound(err) {
		t.Errorf("after deletion: %v", err)
	}
}

// TestReadersSeeWholeMaps has writers and readers at the same time: a reader's
// map never changes, and no write is lost.
func TestReadersSeeWholeMaps(t *testing.T) {
	t.Parallel()
	c := catalog.New[int]("pod")
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 50 {
				c.Put(fmt.Sprintf("%x%04x", w, i), i)
			}
		})
		group.Go(func() {
			for range 50 {
				all := c.All()
				before := len(all)
				for range all {
					before--
				}
				if before != 0 {
					t.Errorf("a map changed while it was read")
				}
			}
		})
	}
	group.Wait()
	if n := len(c.All()); n != 400 {
		t.Errorf("%d values, want 400", n)
	}
}

// TestBegun: what is made is known from the beginning, and never missed while
// it moves into the catalog.
func TestBegun(t *testing.T) {
	t.Parallel()
	c := catalog.New[int]("thing")
	if _, ok := c.Begun("a"); ok || len(c.Known()) > 0 {
		t.Error("something is known")
	}
	end := c.Begin("a", 1)
	if value, ok := c.Begun("a"); !ok || value != 1 || !c.Known()["a"] || len(c.All()) > 0 {
		t.Errorf("begun: %d, %v, known %v", value, ok, c.Known())
	}
	c.Put("a", 1)
	end()
	if _, ok := c.Begun("a"); ok || !c.Known()["a"] {
		t.Errorf("made: %v", c.Known())
	}
	var work sync.WaitGroup
	work.Go(func() {
		for i := range 500 {
			id := strconv.Itoa(i)
			end := c.Begin(id, i)
			c.Put(id, i)
			end()
		}
	})
	before := 0
	for before < 501 {
		known := len(c.Known())
		if known < before {
			t.Fatalf("%d are known, and were %d", known, before)
		}
		before = known
	}
	work.Wait()
}
