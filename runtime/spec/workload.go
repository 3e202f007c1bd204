package spec

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// shimName is the name by which a pod's annotations mean the shims of its
// containers; no container of Kubernetes is called so.
const shimName = "POD"

// setWorkload puts the processor time of the pod's workload, if it has one, in
// place of what the request asks for.
func setWorkload(in *Input, s *specs.Spec) error {
	field, cpu, err := workloadCPU(&in.Runtime, in.Config.GetMetadata().GetName(), in.Pod.GetAnnotations())
	if err != nil {
		return err
	}
	return limitCPU(s.Linux.Resources, field, cpu, &in.Host)
}

// ShimCPUs are the processors that the shims of a pod's containers are to run
// on; empty for all.
func ShimCPUs(runtime config.Runtime, pod map[string]string) (string, error) {
	_, cpu, err := workloadCPU(&runtime, shimName, pod)
	if err == nil && cpu.Set == "" {
		return runtime.InfraCtrCPUSet, nil
	}
	return cpu.Set, err
}

// workloadCPU is what the workload of a pod with these annotations gives a
// container, and the key that says so; nothing if the pod has none. A
// container's own annotation counts first; null is as if there were no
// workload.
func workloadCPU(runtime *config.Runtime, container string, pod map[string]string) (field string, cpu config.CPU, err error) {
	w, ok := runtime.Workload(pod)
	if !ok {
		return "", cpu, nil
	}
	key := w.AnnotationPrefix + "/" + container
	text, own := pod[key]
	if !own || w.AnnotationPrefix == "" {
		return "the workload's cpuset", w.Resources.Limited(), nil
	}
	field = "annotations[" + key + "]"
	var asked *config.CPU
	if err := json.Unmarshal([]byte(text), &asked); err != nil {
		return field, cpu, invalid(field, text, "is not JSON such as {\"cpushares\": 512}: %v", err)
	}
	if asked == nil {
		return field, cpu, nil
	}
	if wrong := asked.Check(); wrong != nil {
		return field, cpu, invalid(field+".cpu"+wrong.Field, wrong.Value, "%s", wrong.Why)
	}
	return field + ".cpuset", asked.Or(w.Resources).Limited(), nil
}

// skipGoMaxProcs is a pod's annotation with which it gets no GOMAXPROCS.
const skipGoMaxProcs = "skip-gomaxprocs.crio.io"

// setGoMaxProcs tells Go programs of a container without a limit of processor
// time how much of it is theirs: twice the request, so that they can use what
// is left, but not all of a large machine. Go itself heeds a limit. Pods with
// processors of their own, and those of a workload, need no advice.
func setGoMaxProcs(in *Input, s *specs.Spec) error {
	least := in.Runtime.MinInjectedGoMaxProcs
	_, workload := in.Runtime.Workload(in.Pod.GetAnnotations())
	if least == 0 || workload || Guaranteed(in.Pod) || in.Pod.GetAnnotations()[skipGoMaxProcs] == "true" {
		return nil
	}
	if slices.ContainsFunc(s.Process.Env, func(e string) bool { return strings.HasPrefix(e, "GOMAXPROCS=") }) {
		return nil
	}
	shares := uint64(0)
	if cpu := s.Linux.Resources.CPU; cpu != nil {
		if valueOf(cpu.Quota) > 0 {
			return nil
		}
		shares = valueOf(cpu.Shares)
	}
	s.Process.Env = append(s.Process.Env, "GOMAXPROCS="+strconv.FormatUint(max((shares*2+1023)/1024, 1, uint64(least)), 10))
	return nil
}

// Guaranteed tells whether a pod may have processors of its own: kubelets put
// those of the other classes into cgroups that say so.
func Guaranteed(pod *runtimeapi.PodSandboxConfig) bool {
	parent := pod.GetLinux().GetCgroupParent()
	return !strings.Contains(parent, "burstable") && !strings.Contains(parent, "besteffort")
}
