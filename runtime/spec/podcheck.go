package spec

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/users"
)

// CheckPod refuses a pod that is wrong by itself, or whose security context
// could not be had by a pause container: most pods have none here, and the others' mistakes would only
// show when their namespaces are made. Errors are as of Build.
func CheckPod(pod *runtimeapi.PodSandboxConfig, handler config.Handler, runtime config.Runtime, host Host) error {
	sc := pod.GetLinux().GetSecurityContext()
	if err := checkSandbox(pod); err != nil {
		return err
	}
	if _, err := PauseUser(sc, ""); err != nil {
		return err
	}
	if _, err := userMappings(sc.GetNamespaceOptions().GetUsernsOptions()); err != nil {
		return err
	}
	_, err := podSeccomp(pod, &handler, &runtime, defaultCapabilities).load(&host)
	return err
}

// PauseUser is whom a pause container runs as: the pod's user and group, else
// those of its image. They are numbers, for pause images have no accounts.
func PauseUser(sc *runtimeapi.LinuxSandboxSecurityContext, imageUser string) (users.Resolved, error) {
	asked := &runtimeapi.LinuxContainerSecurityContext{RunAsUser: sc.GetRunAsUser(), RunAsGroup: sc.GetRunAsGroup()}
	if asked.RunAsUser != nil || asked.RunAsGroup == nil {
		return users.Resolve(noAccounts, asked, imageUser)
	}
	// Kubelets send a group alone if the user is each container's own.
	who, err := users.Resolve(noAccounts, nil, imageUser)
	if err != nil {
		return users.Resolved{}, err
	}
	asked.RunAsUser = &runtimeapi.Int64Value{Value: int64(who.UID)}
	return users.Resolve(noAccounts, asked, "")
}

var noAccounts = users.Parse("", "")

// podSeccomp is what a pod asks for its pause container.
func podSeccomp(pod *runtimeapi.PodSandboxConfig, handler *config.Handler, runtime *config.Runtime, capabilities []string) seccompRequest {
	sc := pod.GetLinux().GetSecurityContext()
	//lint:ignore SA1019 old clients only know the deprecated fields
	path := sc.GetSeccompProfilePath() //nolint:staticcheck // old clients only know the deprecated field
	return seccompRequest{
		profile: sc.GetSeccomp(), path: path, unset: runtime.UnsetSeccompProfile,
		standard: handler.SeccompProfile, privileged: sc.GetPrivileged(), capabilities: capabilities,
	}
}
