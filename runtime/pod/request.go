package pod

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/namespaces"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// check refuses what no pod can be made of, before anything is.
func (s *Service) check(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handlerName string) (config.Handler, error) {
	meta := cfg.GetMetadata()
	for _, f := range []struct{ field, value string }{
		{"metadata.name", meta.GetName()}, {"metadata.namespace", meta.GetNamespace()}, {"metadata.uid", meta.GetUid()},
	} {
		if f.value == "" {
			return config.Handler{}, invalid(f.field, f.value, "is empty")
		}
	}
	handler, err := s.handler(handlerName)
	if err != nil {
		return config.Handler{}, err
	}
	if err := spec.CheckCgroupParent(cfg.GetLinux().GetCgroupParent(), s.Systemd); err != nil {
		return config.Handler{}, err
	}
	if err := spec.CheckResources("linux.overhead", cfg.GetLinux().GetOverhead()); err != nil {
		return config.Handler{}, err
	}
	if err := spec.CheckResources("linux.resources", cfg.GetLinux().GetResources()); err != nil {
		return config.Handler{}, err
	}
	if err := spec.CheckMinMemory("linux.resources", cfg.GetLinux().GetResources(), handler); err != nil {
		return config.Handler{}, err
	}
	if request, _ := s.namespaceRequest("", cfg); !pinned(request) && len(request.Sysctls) > 0 {
		keys := slices.Sorted(maps.Keys(request.Sysctls))
		return config.Handler{}, invalid("linux.sysctls", strings.Join(keys, ", "), "would change the host: the pod has no namespace of its own")
	}
	if err := spec.CheckPod(cfg, handler, s.Config, s.Host); err != nil {
		return config.Handler{}, err
	}
	return handler, s.checkFeatures(ctx, handlerName, cfg.GetLinux().GetSecurityContext().GetNamespaceOptions())
}

// checkFeatures refuses what the handler cannot do. It is asked only if the
// pod needs anything of it.
func (s *Service) checkFeatures(ctx context.Context, handlerName string, options *runtimeapi.NamespaceOption) error {
	if !spec.UsesUserNamespace(options) {
		return nil
	}
	if handlerName == "" {
		handlerName = s.Config.DefaultHandler
	}
	features, err := s.Handlers.Features(ctx, handlerName)
	if err != nil {
		return err
	}
	return features.CheckUserNamespace(handlerName, options)
}

// handler is the one that the client names, or the default.
func (s *Service) handler(name string) (config.Handler, error) {
	if name == "" {
		name = s.Config.DefaultHandler
	}
	handler, ok := s.Config.Handlers[name]
	if !ok {
		names := strings.Join(slices.Sorted(maps.Keys(s.Config.Handlers)), ", ")
		return config.Handler{}, invalid("runtime_handler", name, "is not configured (configured are "+names+")")
	}
	return handler, nil
}

// namespaceRequest says which namespaces to make. The second request has the
// sysctls that only hold once the network is set up.
func (s *Service) namespaceRequest(id string, cfg *runtimeapi.PodSandboxConfig) (request, deferred namespaces.Request) {
	options := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	own := !hostNetwork(cfg)
	request = namespaces.Request{
		ID: id, Net: own, UTS: own, IPC: options.GetIpc() != runtimeapi.NamespaceMode_NODE,
		UIDs:              mappings(options.GetUsernsOptions(), (*runtimeapi.UserNamespace).GetUids),
		GIDs:              mappings(options.GetUsernsOptions(), (*runtimeapi.UserNamespace).GetGids),
		UnprivilegedPorts: own && s.Config.EnableUnprivilegedPorts, UnprivilegedICMP: own && s.Config.EnableUnprivilegedICMP,
	}
	if own {
		request.Hostname = cfg.GetHostname()
	}
	deferred = request
	request.Sysctls, deferred.Sysctls = make(map[string]string), make(map[string]string)
	for key, value := range Sysctls(cfg, &s.Config) {
		// Without a network of its own a pod has none to wait for: the request
		// is then refused for the key.
		if own && perInterface(key) {
			deferred.Sysctls[key] = value
		} else {
			request.Sysctls[key] = value
		}
	}
	return request, deferred
}

// pinned tells whether there is any namespace to make.
func pinned(r namespaces.Request) bool { return r.Net || r.IPC || r.UTS || len(r.UIDs) > 0 }

// perInterface tells whether a sysctl is of one network interface, which the
// network may only bring along: net.ipv4.conf.eth0.rp_filter.
func perInterface(key string) bool {
	parts := strings.Split(strings.ReplaceAll(key, "/", "."), ".")
	return len(parts) >= 5 && parts[0] == "net" && (parts[2] == "conf" || parts[2] == "neigh") &&
		parts[3] != "all" && parts[3] != "default" && parts[3] != "lo"
}

// mappings are none unless the pod asks for a user namespace of its own.
func mappings(o *runtimeapi.UserNamespace, of func(*runtimeapi.UserNamespace) []*runtimeapi.IDMapping) []specs.LinuxIDMapping {
	if o.GetMode() != runtimeapi.NamespaceMode_POD {
		return nil
	}
	var out []specs.LinuxIDMapping
	for _, m := range of(o) {
		out = append(out, specs.LinuxIDMapping{HostID: m.GetHostId(), ContainerID: m.GetContainerId(), Size: m.GetLength()})
	}
	return out
}

// labels make the record findable with containerd's own tools. containerd
// limits their size, so that the CRI's own, of any size, are in the message.
func labels(cfg *runtimeapi.PodSandboxConfig) map[string]string {
	const limit = 4096
	out := map[string]string{"io.trivet.kind": "pod"}
	m := cfg.GetMetadata()
	maps.Copy(out, map[string]string{
		"io.kubernetes.pod.name": m.GetName(), "io.kubernetes.pod.namespace": m.GetNamespace(), "io.kubernetes.pod.uid": m.GetUid(),
	})
	maps.DeleteFunc(out, func(key, value string) bool { return len(key)+len(value) > limit })
	return out
}

func hostNetwork(cfg *runtimeapi.PodSandboxConfig) bool {
	return cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE
}

// sharesPID tells whether the pod's containers see each other's processes.
func sharesPID(cfg *runtimeapi.PodSandboxConfig) bool {
	return cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid() == runtimeapi.NamespaceMode_POD
}

// invalid is ErrInvalidArgument about a field of the request.
func invalid(field, value, why string) error {
	return fmt.Errorf("%s %.200q %s: %w", field, value, why, errdefs.ErrInvalidArgument)
}
