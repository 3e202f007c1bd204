package spec_test

import (
	"slices"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// annotated lets pods ask for devices by annotation, and asks.
func annotated(key, devices string) func(*spec.Input) {
	return func(in *spec.Input) {
		in.Handler.AllowedAnnotations = []string{"devices.crio.io"}
		in.Runtime.AllowedDevices = []string{"/dev/null", "/dev/snd", "/dev/disk/by-id/one", "/dev/fifo", "/dev/none"}
		in.Pod.Annotations = map[string]string{key: devices}
	}
}

func TestMoreDevices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*spec.Input)
		want   []string // paths
		access []string // of each
	}{
		"by annotation": {
			annotated("devices.crio.io", ",/dev/null:/dev/zero:r,,/dev/snd:rw"),
			[]string{"/dev/zero", "/dev/snd/pcm", "/dev/snd/by-path/ctl"},
			[]string{"r", "rw", "rw"},
		},
		"by the old spelling": {annotated("io.kubernetes.cri-o.Devices", "/dev/disk/by-id/one"), []string{"/dev/disk/by-id/one"}, []string{"rwm"}},
		"by an annotation that the handler does not allow": {func(in *spec.Input) {
			annotated("devices.crio.io", "/dev/sda")(in)
			in.Handler.AllowedAnnotations = nil
		}, nil, nil},
		"by an annotation of the container": {func(in *spec.Input) {
			annotated("devices.crio.io", "")(in)
			in.Config.Annotations = map[string]string{"devices.crio.io": "/dev/null"}
		}, nil, nil},
		"for all": {
			func(in *spec.Input) { in.Runtime.AdditionalDevices = []string{"/dev/sda:/dev/xda:m", "/dev/null"} },
			[]string{"/dev/xda", "/dev/null"},
			[]string{"m", "rwm"},
		},
		"the request's own come first, then the pod's": {func(in *spec.Input) {
			annotated("devices.crio.io", "/dev/null:/dev/b:w")(in)
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/sda", ContainerPath: "/dev/a", Permissions: "r"}}
			in.Runtime.AdditionalDevices = []string{"/dev/null:/dev/a", "/dev/null:/dev/b", "/dev/null:/dev/c"}
		}, []string{"/dev/a", "/dev/b", "/dev/c"}, []string{"r", "w", "rwm"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			test.change(&in)
			in.Runtime.DeviceOwnership, security(&in).RunAsUser = true, &runtimeapi.Int64Value{Value: 7}
			s := build(t, in)
			if got := devicePaths(s); !slices.Equal(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			for i, rule := range s.Linux.Resources.Devices[1:] {
				d := s.Linux.Devices[i]
				if !rule.Allow || rule.Type != d.Type || *rule.Major != d.Major || *rule.Minor != d.Minor || rule.Access != test.access[i] {
					t.Errorf("rule %+v is not of device %+v with access %s", rule, d, test.access[i])
				}
				if own := i < len(in.Config.Devices); own != (*d.UID == 7) {
					t.Errorf("%s belongs to %d", d.Path, *d.UID)
				}
			}
		})
	}
}

func TestMoreDevicesRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(*spec.Input)
		kind   error
		say    string
	}{
		{annotated("devices.crio.io", "/dev/null,null"), wrong, `annotations["devices.crio.io"] "null" names no device: "null": source`},
		{annotated("devices.crio.io", "/dev/null:/etc/x"), wrong, `annotations["devices.crio.io"] "/dev/null:/etc/x" names no device`},
		{annotated("io.kubernetes.cri-o.Devices", "/dev/sda"), wrong, `annotations["io.kubernetes.cri-o.Devices"] "/dev/sda" asks for a device that is not in runtime.allowed_devices`},
		{annotated("devices.crio.io", "/dev/../dev/null"), wrong, `is not in runtime.allowed_devices`},
		{annotated("devices.crio.io", "/dev/snd/pcm"), wrong, `is not in runtime.allowed_devices`},
		{annotated("devices.crio.io", "/dev/none"), lacks, `annotations["devices.crio.io"] "/dev/none" cannot be had: find device`},
		{annotated("devices.crio.io", "/dev/fifo"), lacks, `"/dev/fifo" cannot be had: a FIFO`},
		{func(in *spec.Input) { in.Runtime.AdditionalDevices = []string{"/dev/none"} }, lacks, `runtime.additional_devices "/dev/none" cannot be had: find device`},
	} {
		in := plain()
		test.change(&in)
		refused(t, in, test.kind, test.say)
	}
}
