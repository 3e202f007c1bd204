package tuning

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-cri/trivet/runtime/annotation"
)

// Request is what a pod's annotations ask for one container. The zero value
// asks for nothing.
type Request struct {
	// NoIRQs keeps interrupts from its processors; Housekeeping leaves them the
	// first core.
	NoIRQs, Housekeeping bool
	NoBalance            bool // by the scheduler, of load
	NoQuota              bool // of processor time
	Shared               bool // also run on the shared processors
	// Latency is the most that waking up may take, as the kernel's files have it.
	Latency  string
	Governor string // of the frequency
}

// governors are names as the kernel has them.
var governors = regexp.MustCompile(`^[a-z0-9_-]{1,31}$`)

// requestOf reads those of a pod's annotations that are allowed. A container's
// own counts before the pod's. Errors are InvalidArgument with key and value.
func requestOf(allowed annotation.Allowed, pod map[string]string, container string) (r Request, err error) {
	ask := func(name string) (key, value string) {
		if key, value, ok := allowed.Find(pod, name+"/"+container); ok {
			return key, value
		}
		key, value, _ = allowed.Find(pod, name)
		return key, value
	}
	key, value := ask(annotation.IRQLoadBalancing)
	if r.Housekeeping = value == "housekeeping"; r.Housekeeping {
		value = disable
	}
	if r.NoIRQs, err = disabled(key, value); err != nil {
		return r, err
	}
	if r.NoBalance, err = disabled(ask(annotation.CPULoadBalancing)); err != nil {
		return r, err
	}
	if r.NoQuota, err = disabled(ask(annotation.CPUQuota)); err != nil {
		return r, err
	}
	// Only of a container, and the other way round.
	if key, value, ok := allowed.Find(pod, annotation.CPUShared+"/"+container); ok {
		if r.Shared = value == enable; !r.Shared && value != disable {
			return r, annotation.Invalid(key, value, "is neither enable nor disable")
		}
	}
	key, value, _ = allowed.Find(pod, annotation.CPUCStates)
	if r.Latency, err = latency(key, value); err != nil {
		return r, err
	}
	key, r.Governor, _ = allowed.Find(pod, annotation.CPUFreqGovernor)
	if r.Governor != "" && !governors.MatchString(r.Governor) {
		return r, annotation.Invalid(key, r.Governor, "is not the name of a frequency governor")
	}
	return r, nil
}

const (
	enable  = "enable"
	disable = "disable"
)

// disabled tells whether an annotation switches something off. "true" is how
// that was written once.
func disabled(key, value string) (bool, error) {
	switch value {
	case disable, "true":
		return true, nil
	case enable, "false", "":
		return false, nil
	}
	return false, annotation.Invalid(key, value, "is neither enable nor disable")
}

// latency is the content of pm_qos_resume_latency_us.
func latency(key, value string) (string, error) {
	switch value {
	case "":
		return "", nil
	case enable:
		return "0", nil // no limit
	case disable:
		return "n/a", nil // none at all
	}
	text, ok := strings.CutPrefix(value, "max_latency:")
	if n, err := strconv.ParseInt(text, 10, 32); !ok || err != nil || n <= 0 {
		return "", annotation.Invalid(key, value, "is none of enable, disable and max_latency:MICROSECONDS")
	}
	return text, nil
}

// cpus tells whether r is about processors of the container's own.
func (r Request) cpus() bool {
	return r.NoIRQs || r.NoBalance || r.Shared || r.Latency != "" || r.Governor != ""
}

// AllowsIRQs tells whether any of these lists lets pods keep interrupts away.
func AllowsIRQs(lists ...[]string) bool {
	return slices.ContainsFunc(lists, func(l []string) bool { return annotation.Allowed(l).Has(annotation.IRQLoadBalancing) })
}
