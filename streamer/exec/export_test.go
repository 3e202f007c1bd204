package exec

import "fmt"

// For tests.
var (
	KillTree  = killTree
	ParseName = parseName
)

// ParseStat gives parent, group and session, or "error".
func ParseStat(text string) string {
	p, err := parseStat(7, text)
	if err != nil {
		return "error"
	}
	return fmt.Sprint(p.parent, p.group, p.session)
}

// Widen enlarges the pipes of a process.
func Widen(container string, pid int) { widen(container, pid) }
