package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

// Workloads are kinds of pods whose processor time is not the client's to say,
// by name.
type Workloads map[string]Workload

// Workload is one kind of pods.
type Workload struct {
	ActivationAnnotation string   `toml:"activation_annotation" comment:"A pod is of this kind if it has this annotation, with any value."`
	AnnotationPrefix     string   `toml:"annotation_prefix" comment:"PREFIX/CONTAINER is the pod's annotation with resources of one container, as JSON: {\"cpushares\": 512, \"cpuset\": \"0-1\"}."`
	AllowedAnnotations   []string `toml:"allowed_annotations" comment:"Annotations that may change these pods, besides those that their handler allows."`
	Resources            CPU      `toml:"resources" comment:"Resources of the containers, in place of those that are asked for; what is 0 or empty is as asked for."`
}

// CPU are limits of a container's processor time.
type CPU struct {
	Shares int64  `toml:"cpushares" json:"cpushares" comment:"Weight, 2 to 262144."`
	Quota  int64  `toml:"cpuquota" json:"cpuquota" comment:"Microseconds in each period, -1 for no limit."`
	Period int64  `toml:"cpuperiod" json:"cpuperiod" comment:"Microseconds of a period, 1000 to 1000000."`
	Set    string `toml:"cpuset" json:"cpuset" comment:"Processors, for example 0-3,5."`
	Limit  int64  `toml:"cpulimit" json:"cpulimit" comment:"Thousandths of a processor; makes the quota."`
}

// Workload is that of a pod with these annotations: the first one by name.
func (r *Runtime) Workload(pod map[string]string) (w Workload, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(r.Workloads)) {
		if _, ok := pod[r.Workloads[name].ActivationAnnotation]; ok {
			return r.Workloads[name], true
		}
	}
	return Workload{}, false
}

// AllowedAnnotations are those that may change a pod of a handler with these
// annotations: its handler's and its workload's.
func (r *Runtime) AllowedAnnotations(h *Handler, pod map[string]string) []string {
	w, _ := r.Workload(pod)
	return slices.Concat(h.AllowedAnnotations, w.AllowedAnnotations)
}

// What the kernel takes. Times are microseconds.
const (
	minCPUTime    = 1000
	maxCPUPeriod  = 1_000_000
	defaultPeriod = 100_000
	minCPUShares  = 2
	maxCPUShares  = 1 << 18
	// maxCPUQuota keeps quotas below what the kernel can multiply.
	maxCPUQuota = 1 << 44
)

// Or is c where it says something, and else other. A limit of c makes its
// quota, whatever other has.
func (c CPU) Or(other CPU) CPU {
	orElse(&c.Shares, other.Shares)
	orElse(&c.Quota, other.Quota)
	orElse(&c.Period, other.Period)
	orElse(&c.Set, other.Set)
	orElse(&c.Limit, other.Limit)
	return c
}

func orElse[T comparable](value *T, other T) {
	var none T
	if *value == none {
		*value = other
	}
}

// Limited is c with the quota that its limit makes.
func (c CPU) Limited() CPU {
	if c.Limit > 0 {
		period := c.Period
		orElse(&period, defaultPeriod)
		c.Quota = max(c.Limit*period/1000, minCPUTime)
	}
	return c
}

// CPUProblem is a limit that no kernel takes.
type CPUProblem struct {
	Field string // period, quota, shares, set or limit
	Value any
	Why   string
}

// Check finds what is wrong with limits that are not zero. It says nothing
// about this machine.
func (c CPU) Check() *CPUProblem {
	switch {
	case c.Period < 0:
		return &CPUProblem{"period", c.Period, "is negative"}
	case c.Period != 0 && (c.Period < minCPUTime || c.Period > maxCPUPeriod):
		return &CPUProblem{"period", c.Period, "is not between 1000 and 1000000 microseconds"}
	case c.Quota < -1:
		return &CPUProblem{"quota", c.Quota, "is negative, and not -1 for no limit"}
	case c.Quota > 0 && (c.Quota < minCPUTime || c.Quota > maxCPUQuota):
		return &CPUProblem{"quota", c.Quota, "is not between 1000 and 17592186044416 microseconds"}
	case c.Shares < 0:
		return &CPUProblem{"shares", c.Shares, "is negative"}
	case c.Shares != 0 && (c.Shares < minCPUShares || c.Shares > maxCPUShares):
		return &CPUProblem{"shares", c.Shares, "is not between 2 and 262144"}
	case c.Limit < 0:
		return &CPUProblem{"limit", c.Limit, "is negative"}
	case c.Limit > maxCPUQuota/maxCPUPeriod*1000:
		return &CPUProblem{"limit", c.Limit, "is more than any machine has"}
	}
	if _, err := cpuset.Parse(c.Set); err != nil {
		return &CPUProblem{"set", c.Set, err.Error()}
	}
	return nil
}

func (w Workloads) validate(check *checker) {
	for _, name := range slices.Sorted(maps.Keys(w)) {
		key, one := "runtime.workloads."+name, w[name]
		if one.ActivationAnnotation == "" {
			check.add(key+".activation_annotation", "is empty")
		}
		if strings.HasSuffix(one.AnnotationPrefix, "/") {
			check.add(key+".annotation_prefix", "%q ends in a slash, which comes before the container's name anyway", one.AnnotationPrefix)
		}
		check.annotations(key+".allowed_annotations", one.AllowedAnnotations)
		if wrong := one.Resources.Check(); wrong != nil {
			check.add(key+".resources.cpu"+wrong.Field, "%#v %s", wrong.Value, wrong.Why)
		}
	}
}
