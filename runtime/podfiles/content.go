package podfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Names of the files in the pod's directory.
const (
	hostname   = "hostname"
	hosts      = "hosts"
	resolvConf = "resolv.conf"
	shm        = "shm"
	logs       = "logs"
)

// maxCopy bounds what is copied from the host, against a mistaken path.
const maxCopy = 10 << 20

type content struct {
	name string
	text []byte
}

// contents decides what the files say, before any is made.
func (s *Store) contents(pod *runtimeapi.PodSandboxConfig) ([]content, error) {
	name, err := s.podHostname(pod)
	if err != nil {
		return nil, err
	}
	hostsText, err := read(s.machine.Hosts)
	if err != nil {
		return nil, err
	}
	var resolvText []byte
	if dns := pod.GetDnsConfig(); dns != nil {
		resolvText, err = formatResolvConf(dns)
	} else {
		// Old clients leave it out and mean the host's.
		resolvText, err = read(s.machine.ResolvConf)
	}
	if err != nil {
		return nil, err
	}
	return []content{{hostname, []byte(name + "\n")}, {hosts, hostsText}, {resolvConf, resolvText}}, nil
}

// podHostname is what the client asks for, or the host's.
func (s *Store) podHostname(pod *runtimeapi.PodSandboxConfig) (string, error) {
	name := pod.GetHostname()
	if name == "" {
		name, err := s.machine.Hostname()
		if err != nil {
			return "", fmt.Errorf("read the machine's hostname: %w", err)
		}
		return name, nil
	}
	return name, checkWord("hostname", name)
}

// read reads a whole file of the host. One that is missing is empty: minimal
// systems have no /etc/hosts, and pods need none.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxCopy+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCopy {
		return nil, fmt.Errorf("copy %s: it is larger than %d bytes", path, maxCopy)
	}
	return text, nil
}
