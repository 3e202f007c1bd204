package cri

import (
	"slices"
	"strings"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// choosePods are the pods that a filter selects, by the start of an id and by
// labels, newest first.
func choosePods(all map[string]*pod.Pod, id string, labels map[string]string) []*pod.Pod {
	var chosen []*pod.Pod
	for _, p := range all {
		if strings.HasPrefix(p.ID, id) && selects(labels, p.Config.GetLabels()) {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b *pod.Pod) int {
		return newestFirst(a.CreatedAt.UnixNano(), b.CreatedAt.UnixNano(), a.ID, b.ID)
	})
	return chosen
}

// chooseContainers are the containers that a filter selects, by the starts of
// ids and by labels, newest first.
func chooseContainers(all map[string]*container.Container, id, podID string, labels map[string]string) []*container.Container {
	var chosen []*container.Container
	for _, c := range all {
		if strings.HasPrefix(c.ID, id) && strings.HasPrefix(c.PodID, podID) && selects(labels, c.Config.GetLabels()) {
			chosen = append(chosen, c)
		}
	}
	sortContainers(chosen)
	return chosen
}

// sortContainers has the newest first.
func sortContainers(list []*container.Container) {
	slices.SortFunc(list, func(a, b *container.Container) int {
		return newestFirst(a.CreatedAt.UnixNano(), b.CreatedAt.UnixNano(), a.ID, b.ID)
	})
}

// selects tells whether labels have all that a selector asks for.
func selects(selector, labels map[string]string) bool {
	for key, want := range selector {
		if value, ok := labels[key]; !ok || value != want {
			return false
		}
	}
	return true
}

// newestFirst orders by time, and by id where that is the same.
func newestFirst(a, b int64, aID, bID string) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return strings.Compare(aID, bID)
}
