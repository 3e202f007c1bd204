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
	pods       map[string]*knownPod
	containers map[string]*knownContainer
}

type knownPod struct {
	pod     *pod.Pod
	stopped bool
}

type knownContainer struct {
	container *container.Container
	pod       *pod.Pod
	stopped   bool
}

func newTold() *told {
	return &told{pods: make(map[string]*knownPod), containers: make(map[string]*knownContainer)}
}

// seed enters what exists when this process starts.
func (t *told) seed(pods map[string]*pod.Pod, containers map[string]*container.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range pods {
		t.pods[id] = &knownPod{pod: p, stopped: !p.State().Ready}
	}
	for id, c := range containers {
		if p := pods[c.PodID]; p != nil {
			ended := c.State().Phase == runtimeapi.ContainerState_CONTAINER_EXITED
			t.containers[id] = &knownContainer{container: c, pod: p, stopped: ended}
		}
	}
}

func (t *told) addPod(p *pod.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods[p.ID] = &knownPod{pod: p}
}

func (t *told) addContainer(p *pod.Pod, c *container.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.containers[c.ID] = &knownContainer{container: c, pod: p}
}

// podRuns tells whether plugins take a pod for one that runs.
func (t *told) podRuns(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.pods[id]
	return ok && !known.stopped
}

// containerRuns tells whether plugins take a container for one that has not
// ended.
func (t *told) containerRuns(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.containers[id]
	return ok && !known.stopped
}

// stopPod tells whether that is news.
func (t *told) stopPod(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.pods[id]
	news := ok && !known.stopped
	if ok {
		known.stopped = true
	}
	return news
}

// stopContainer tells whether that is news.
func (t *told) stopContainer(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.containers[id]
	news := ok && !known.stopped
	if ok {
		known.stopped = true
	}
	return news
}

// removePod tells whether that is news.
func (t *told) removePod(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.pods[id]
	delete(t.pods, id)
	return ok
}

// removeContainer tells whether that is news.
func (t *told) removeContainer(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.containers[id]
	delete(t.containers, id)
	return ok
}

// podOf is the pod of a container, nil if plugins do not know it.
func (t *told) podOf(id string) *pod.Pod {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.containers[id]; ok {
		return known.pod
	}
	return nil
}

// everything is what a plugin is synchronized with: all pods, and the
// containers that have not ended.
func (t *told) everything() (pods []*pod.Pod, containers []*container.Container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(t.pods)) {
		pods = append(pods, t.pods[id].pod)
	}
	for _, id := range slices.Sorted(maps.Keys(t.containers)) {
		if known := t.containers[id]; !known.stopped {
			containers = append(containers, known.container)
		}
	}
	return pods, containers
}
