package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// The fields of log records that identify a pod or a container, the same in
// every process: whoever searches for one finds the records of all.
const (
	PodID         = "pod_id"
	PodNamespace  = "pod_namespace"
	PodName       = "pod_name"
	PodUID        = "pod_uid"
	ContainerID   = "container_id"
	ContainerName = "container_name"
)

// PodFields are the fields of a record about a pod.
func PodFields(id, namespace, name, uid string) []any {
	return []any{PodID, id, PodNamespace, namespace, PodName, name, PodUID, uid}
}

// ContainerFields are the fields of a record about a container, to which
// those of its pod belong.
func ContainerFields(id, name string) []any {
	return []any{ContainerID, id, ContainerName, name}
}

// PodAttributes identify a pod in spans, in the names of the OpenTelemetry
// conventions for Kubernetes.
func PodAttributes(id, namespace, name, uid string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("trivet.pod.id", id),
		attribute.String("k8s.namespace.name", namespace),
		attribute.String("k8s.pod.name", name),
		attribute.String("k8s.pod.uid", uid),
	}
}

// Pod puts the pod's identity on the current span.
func Pod(ctx context.Context, id, namespace, name, uid string) {
	trace.SpanFromContext(ctx).SetAttributes(PodAttributes(id, namespace, name, uid)...)
}

// Container puts the container's identity on the current span.
func Container(ctx context.Context, id, name string) {
	trace.SpanFromContext(ctx).SetAttributes(
		attribute.String("container.id", id),
		attribute.String("k8s.container.name", name),
	)
}
