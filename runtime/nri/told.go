package nri

import (
	"maps"
	"slices"
	"sync"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// told is what plugins know. It is entered and removed in the turn of a hook,
// and never locked during one.
type told struct {
	mu         sync.Mutex
	pods       known[*pod.Pod]
	containers known[knownContainer]
}

type knownContainer struct {
	container *container.Container
	pod       *pod.Pod
}

func newTold() *told {
	t := &told{}
	t.pods = known[*pod.Pod]{&t.mu, make(map[string]*entry[*pod.Pod])}
	t.containers = known[knownContainer]{&t.mu, make(map[string]*entry[knownContainer])}
	return t
}

// seed enters what exists when this process starts.
func (t *told) seed(pods map[string]*pod.Pod, containers map[string]*container.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range pods {
		t.pods.all[id] = &entry[*pod.Pod]{p, !p.State().Ready}
	}
	for id, c := range containers {
		if p := pods[c.PodID]; p != nil {
			ended := c.State().Phase == runtimeapi.ContainerState_CONTAINER_EXITED
			t.containers.all[id] = &entry[knownContainer]{knownContainer{c, p}, ended}
		}
	}
}

// known are things of one kind, by id. Kinds share a lock.
type known[T any] struct {
	mu  *sync.Mutex
	all map[string]*entry[T]
}

type entry[T any] struct {
	is      T
	stopped bool
}

func (k known[T]) add(id string, is T, stopped bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[id] = &entry[T]{is, stopped}
}

// runs tells whether plugins take it for one that has not ended.
func (k known[T]) runs(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, ok := k.all[id]
	return ok && !one.stopped
}

// stop tells whether that is news.
func (k known[T]) stop(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, ok := k.all[id]
	news := ok && !one.stopped
	if ok {
		one.stopped = true
	}
	return news
}

// remove tells whether that is news.
func (k known[T]) remove(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.all[id]
	delete(k.all, id)
	return ok
}

// podOf is the pod of a container, nil if plugins do not know it.
func (t *told) podOf(id string) *pod.Pod {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one, ok := t.containers.all[id]; ok {
		return one.is.pod
	}
	return nil
}

// everything is what a plugin is synchronized with: all pods, and the
// containers that have not ended.
func (t *told) everything() (pods []*pod.Pod, containers []*container.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(t.pods.all)) {
		pods = append(pods, t.pods.all[id].is)
	}
	for _, id := range slices.Sorted(maps.Keys(t.containers.all)) {
		if one := t.containers.all[id]; !one.stopped {
			containers = append(containers, one.is.container)
		}
	}
	return pods, containers
}
