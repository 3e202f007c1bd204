package verdict_test

import (
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/tests/critest/verdict"
)

const report = `[{"SuiteSucceeded":false,"SpecialSuiteFailureReasons":["Suite Failed","Interrupted by User"],"SpecReports":[
 {"LeafNodeType":"BeforeSuite","State":"passed"},
 {"ContainerHierarchyTexts":["[k8s.io] Pods","lifecycle"],"LeafNodeType":"It","LeafNodeText":"runs","State":"passed","RunTime":1500000000},
 {"ContainerHierarchyTexts":["[k8s.io] Pods"],"LeafNodeType":"It","LeafNodeText":"stops","State":"failed","Failure":{"Message":"took\ntoo long"}},
 {"ContainerHierarchyTexts":["[k8s.io] Pods"],"LeafNodeType":"It","LeafNodeText":"explodes","State":"panicked","Failure":{"Message":"nil"}},
 {"ContainerHierarchyTexts":["[k8s.io] AppArmor"],"LeafNodeType":"It","LeafNodeText":"denies","State":"skipped","Failure":{"Message":"AppArmor is not there"}},
 {"ContainerHierarchyTexts":["[k8s.io] benchmark"],"LeafNodeType":"It","LeafNodeText":"measures","State":"skipped"}]}]`

func read(t *testing.T) []verdict.Result {
	t.Helper()
	results, err := verdict.ReadReport([]byte(report))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestCounts(t *testing.T) {
	t.Parallel()
	results := read(t)
	for state, want := range map[verdict.State]int{verdict.Passed: 1, verdict.Failed: 3, verdict.Skipped: 1} {
		if got := verdict.Count(results, state); got != want {
			t.Errorf("%d %s, want %d", got, state, want)
		}
	}
	if results[0].Name != "[k8s.io] Pods lifecycle runs" || results[0].Seconds != 1.5 {
		t.Errorf("first result is %+v", results[0])
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list string
		want []string // beginnings
	}{
		"as expected":      {"[suite]\n[k8s.io] Pods stops\n# a comment\n\n[k8s.io] Pods explodes\n", nil},
		"a new failure":    {"[suite]\n[k8s.io] Pods stops\n", []string{"failed: [k8s.io] Pods explodes\n    nil"}},
		"a passing one":    {"[suite]\n[k8s.io] Pods stops\n[k8s.io] Pods explodes\n[k8s.io] Pods lifecycle runs\n", []string{"passed, although"}},
		"one that did not": {"[suite]\n[k8s.io] Pods stops\n[k8s.io] Pods explodes\n[k8s.io] AppArmor denies\n[k8s.io] gone\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expected, err := verdict.ReadExpected([]byte(test.list))
			if err != nil {
				t.Fatal(err)
			}
			wrong := expected.Judge(read(t))
			if len(wrong) != len(test.want) {
				t.Fatalf("wrong is %q", wrong)
			}
			for i := range wrong {
				if !strings.HasPrefix(wrong[i], test.want[i]) {
					t.Errorf("wrong is %q, want %q", wrong[i], test.want[i])
				}
			}
		})
	}
}

// TestSkipped: a test may be skipped for want of AppArmor, and of nothing else.
func TestSkipped(t *testing.T) {
	t.Parallel()
	wrong := verdict.Expected{}.Judge([]verdict.Result{
		{Name: "[k8s.io] AppArmor denies", State: verdict.Skipped, Message: "AppArmor is not there"},
		{Name: "[k8s.io] seccomp denies", State: verdict.Skipped, Message: "seccomp is not there"},
	})
	if len(wrong) != 1 || !strings.HasPrefix(wrong[0], "skipped: [k8s.io] seccomp denies") {
		t.Errorf("wrong is %q", wrong)
	}
}

func TestTwiceIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := verdict.ReadExpected([]byte("a\nb\na\n")); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Fatalf("error is %v", err)
	}
}
