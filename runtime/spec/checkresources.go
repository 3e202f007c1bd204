package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/cpuset"
)

// minMemory is what not even the smallest OCI runtime can start in.
const minMemory = 500 << 10

// CheckResources returns ErrInvalidArgument unless the values of r are ones
// that some machine can set; zero and empty ones are not set. field is the
// name of r for messages. It says nothing about this machine.
func CheckResources(field string, r *runtimeapi.LinuxContainerResources) error {
	cpu := config.CPU{Period: r.GetCpuPeriod(), Quota: r.GetCpuQuota(), Shares: r.GetCpuShares()}
	if wrong := cpu.Check(); wrong != nil {
		return invalid(field+".cpu_"+wrong.Field, wrong.Value, "%s", wrong.Why)
	}
	if adj := r.GetOomScoreAdj(); adj < -1000 || adj > 1000 {
		return invalid(field+".oom_score_adj", adj, "is not between -1000 and 1000")
	}
	if err := checkMemory(field, r); err != nil {
		return err
	}
	for _, set := range []struct{ name, list string }{{".cpuset_cpus", r.GetCpusetCpus()}, {".cpuset_mems", r.GetCpusetMems()}} {
		if _, err := cpuset.Parse(set.list); err != nil {
			return invalid(field+set.name, set.list, "%v", err)
		}
	}
	return checkUnified(field+".unified", r.GetUnified())
}

func checkMemory(field string, r *runtimeapi.LinuxContainerResources) error {
	memory, swap := r.GetMemoryLimitInBytes(), r.GetMemorySwapLimitInBytes()
	switch {
	case memory < -1:
		return invalid(field+".memory_limit_in_bytes", memory, "is negative, and not -1 for no limit")
	case memory > 0 && memory < minMemory:
		return invalid(field+".memory_limit_in_bytes", memory, "is below %d, in which no container starts", minMemory)
	case swap < -1:
		return invalid(field+".memory_swap_limit_in_bytes", swap, "is negative, and not -1 for no limit")
	}
	return nil
}

// CheckMinMemory returns ErrInvalidArgument if r, which field names, limits
// memory to less than the handler lets containers have.
func CheckMinMemory(field string, r *runtimeapi.LinuxContainerResources, handler config.Handler) error {
	if limit := r.GetMemoryLimitInBytes(); limit > 0 && limit < int64(handler.ContainerMinMemory) {
		return invalid(field+".memory_limit_in_bytes", limit, "is below the handler's container_min_memory, %s", handler.ContainerMinMemory)
	}
	return nil
}

// pageSizes are those of cgroup files: 64KB, 2MB, 1GB.
var pageSizes = regexp.MustCompile(`^[1-9][0-9]{0,9}[KMG]B$`)

func checkHugepages(field string, limits []*runtimeapi.HugepageLimit) error {
	for i, l := range limits {
		if !pageSizes.MatchString(l.GetPageSize()) {
			return invalid(hugepageField(field, i), l.GetPageSize(), "is not a page size such as 2MB or 1GB")
		}
	}
	return nil
}

func hugepageField(field string, i int) string { return fmt.Sprintf("%s[%d].page_size", field, i) }

// checkUnified keeps names from leading out of the container's cgroup, and
// out of what is a limit: the cgroup's own files move and kill processes.
func checkUnified(field string, unified map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(unified)) {
		controller, file, _ := strings.Cut(name, ".")
		if controller == "" || file == "" || strings.ContainsAny(name, "/\x00") {
			return invalid(field, name, "is not the name of a controller's file")
		}
		if controller == "cgroup" {
			return invalid(field, name, "is not a limit")
		}
		if strings.ContainsRune(unified[name], 0) {
			return invalid(field+"["+name+"]", unified[name], "has a zero byte")
		}
	}
	return nil
}
