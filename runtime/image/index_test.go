package image_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/trivet-cri/trivet/runtime/image"
)

func TestIndexKeepsTheNewest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps func(image.Index)
		want  map[string]string
	}{
		"in order": {func(x image.Index) {
			x.Apply(x.Ticket(), "a", "old")
			x.Apply(x.Ticket(), "a", "new")
		}, map[string]string{"a": "new"}},
		"late answer": {func(x image.Index) {
			late := x.Ticket()
			x.Apply(x.Ticket(), "a", "new")
			x.Apply(late, "a", "old")
		}, map[string]string{"a": "new"}},
		"late answer after removal": {func(x image.Index) {
			late := x.Ticket()
			x.Remove(x.Ticket(), "a")
			x.Apply(late, "a", "old")
		}, map[string]string{}},
		"late listing": {func(x image.Index) {
			x.Apply(x.Ticket(), "gone", "old")
			late := x.Ticket()
			x.Apply(x.Ticket(), "a", "new")
			x.Remove(x.Ticket(), "b")
			x.ApplyAll(late, map[string]string{"a": "old", "b": "old", "c": "listed"})
		}, map[string]string{"a": "new", "c": "listed"}},
		"late answer after a listing": {func(x image.Index) {
			late := x.Ticket()
			x.ApplyAll(x.Ticket(), map[string]string{"b": "listed"})
			x.Apply(late, "a", "old")
			x.Remove(late, "b")
		}, map[string]string{"b": "listed"}},
		"late listing after a listing": {func(x image.Index) {
			late := x.Ticket()
			x.ApplyAll(x.Ticket(), map[string]string{"b": "listed"})
			x.ApplyAll(late, map[string]string{"a": "old"})
		}, map[string]string{"b": "listed"}},
	} {
		x := image.NewIndex()
		c.steps(x)
		if got := x.Labels(); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestIndexUnderWriters(t *testing.T) {
	t.Parallel()
	x := image.NewIndex()
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 50 {
				x.Apply(x.Ticket(), fmt.Sprintf("name-%d", w), fmt.Sprint(i))
				if got := x.Labels()[fmt.Sprintf("name-%d", w)]; got != fmt.Sprint(i) {
					t.Errorf("wrote %d, read %s", i, got)
				}
			}
		})
	}
	writers.Wait()
	if got := len(x.Labels()); got != 8 {
		t.Errorf("%d names", got)
	}
}
