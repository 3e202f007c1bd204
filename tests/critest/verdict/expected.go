package verdict

import (
	"fmt"
	"strings"
)

// Expected is the set of names of tests that are known to fail.
type Expected map[string]bool

// ReadExpected reads the list: one name a line, empty lines and those that
// begin with # aside. A name that is listed twice is an error.
func ReadExpected(text []byte) (Expected, error) {
	expected := make(Expected)
	for number, line := range strings.Split(string(text), "\n") {
		name := strings.TrimSpace(line)
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if expected[name] {
			return nil, fmt.Errorf("expected failures, line %d: %q is listed twice", number+1, name)
		}
		expected[name] = true
	}
	return expected, nil
}

// mayLack is what tests may be skipped for: a kernel has AppArmor or not.
// Whatever else a test is skipped for is missing in the lab or in Trivet.
const mayLack = "AppArmor"

// Judge returns what is wrong with a run, nothing if it went as expected.
// Tests that a filter has left out are not judged.
func (e Expected) Judge(results []Result) []string {
	var wrong []string
	for _, r := range results {
		switch {
		case r.State == Failed && !e[r.Name]:
			wrong = append(wrong, fmt.Sprintf("failed: %s\n    %s", r.Name, strings.ReplaceAll(r.Message, "\n", "\n    ")))
		case r.State == Passed && e[r.Name]:
			wrong = append(wrong, "passed, although it is listed as failing; strike it from the list: "+r.Name)
		case r.State == Skipped && !strings.Contains(r.Name, mayLack):
			wrong = append(wrong, fmt.Sprintf("skipped: %s\n    %s", r.Name, r.Message))
		}
	}
	return wrong
}
