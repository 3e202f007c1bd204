package main

import (
	"strings"
	"testing"
)

const events = `{"Action":"run","Package":"p","Test":"TestTable"}
{"Action":"run","Package":"p","Test":"TestTable/one"}
{"Action":"run","Package":"p","Test":"TestTable/two"}
{"Action":"pass","Package":"p","Test":"TestTable/one"}
{"Action":"fail","Package":"p","Test":"TestTable/two"}
{"Action":"fail","Package":"p","Test":"TestTable"}
{"Action":"run","Package":"p","Test":"TestAlone"}
{"Action":"pass","Package":"p","Test":"TestAlone"}
{"Action":"run","Package":"p","Test":"TestLeftOut"}
{"Action":"skip","Package":"p","Test":"TestLeftOut"}
{"Action":"fail","Package":"p","Elapsed":1.5}
`

func TestWatchCountsLeaves(t *testing.T) {
	t.Parallel()
	got, err := watch(strings.NewReader(events))
	if want := (tally{passed: 2, failed: 1, skipped: 1}); err != nil || got != want {
		t.Fatalf("got %+v, want %+v, error %v", got, want, err)
	}
}

func TestLastLineSurvivesPieces(t *testing.T) {
	t.Parallel()
	var last lastLine
	for _, piece := range []string{"critest: 1 pas", "sed, 2 fail", "ed, 3 skipped\n", "\n"} {
		_, _ = last.Write([]byte(piece))
	}
	if found := closing.FindStringSubmatch(last.text); len(found) != 4 || found[1] != "1" || found[2] != "2" || found[3] != "3" {
		t.Fatalf("found %q in %q", found, last.text)
	}
}

func TestPartsAreNamed(t *testing.T) {
	t.Parallel()
	if got, err := parse([]string{"unit", "lint"}); err != nil || len(got) != 2 {
		t.Errorf("parts %v, error %v", got, err)
	}
	if _, err := parse([]string{"everything"}); err == nil || !strings.Contains(err.Error(), `"everything"`) {
		t.Errorf("error is %v", err)
	}
}
