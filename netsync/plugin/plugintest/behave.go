// Package plugintest has a CNI plugin for tests whose behaviour is in its
// configuration. It runs as a process of its own, which is the test's own
// program under another name (Main, Install), or inside the test (Exec), with
// the same code.
package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// Settings are the plugin's fields of a configuration.
type Settings struct {
	Type       string `json:"type"`
	CNIVersion string `json:"cniVersion,omitempty"`
	Name       string `json:"name,omitempty"`
	// Dir is where the plugin works:
	//   calls        one line of JSON for each run
	//   held/        a file for each interface that ADD made and DEL did not remove
	//   block-VERB   while it exists, VERB does not end
	//   fail-VERB    while it exists, VERB fails with its content, a types.Error
	Dir string `json:"dir"`
	// IPs are the addresses that ADD gives, as prefixes.
	IPs          []string        `json:"ips,omitempty"`
	Capabilities map[string]bool `json:"capabilities,omitempty"`
}

// Call is one run.
type Call struct {
	Plugin      string `json:"plugin"`
	Command     string `json:"command"`
	ContainerID string `json:"containerID"`
	NetNS       string `json:"netns"`
	Interface   string `json:"interface"`
	Args        string `json:"args"`
	TraceParent string `json:"traceparent"`
	// PID is the plugin's process.
	PID    int             `json:"pid"`
	Config json.RawMessage `json:"config"`
}

// Conflist returns a configuration of plugins in one network.
func Conflist(version, name string, plugins ...Settings) []byte {
	data, err := json.Marshal(map[string]any{"cniVersion": version, "name": name, "plugins": plugins})
	if err != nil {
		panic(err) // a test's own strings
	}
	return data
}

// behave is the plugin. env has the variables of the run.
func behave(ctx context.Context, plugin string, env map[string]string, stdin []byte) ([]byte, error) {
	var s Settings
	if err := json.Unmarshal(stdin, &s); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, err.Error(), "")
	}
	call := Call{
		Plugin: plugin, Command: env["CNI_COMMAND"], ContainerID: env["CNI_CONTAINERID"], NetNS: env["CNI_NETNS"],
		Interface: env["CNI_IFNAME"], Args: env["CNI_ARGS"], TraceParent: env["TRACEPARENT"], PID: os.Getpid(), Config: stdin,
	}
	held := filepath.Join(s.Dir, "held", call.ContainerID+"-"+call.Interface+"-"+plugin)
	if call.Command == "ADD" {
		if err := errors.Join(os.MkdirAll(filepath.Dir(held), 0o755), os.WriteFile(held, nil, 0o600)); err != nil {
			return nil, types.NewError(types.ErrIOFailure, err.Error(), "")
		}
	}
	// A test that sees the call may rely on what the call holds.
	if err := s.record(call); err != nil {
		return nil, types.NewError(types.ErrIOFailure, err.Error(), "")
	}
	if err := s.obstacles(ctx, call.Command); err != nil {
		return nil, err
	}
	switch call.Command {
	case "ADD":
		return s.result(call)
	case "DEL":
		if err := os.Remove(held); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, types.NewError(types.ErrIOFailure, err.Error(), "")
		}
	}
	return nil, nil
}

func (s *Settings) record(call Call) error {
	line, err := json.Marshal(call)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// obstacles blocks or fails if the test has said so.
func (s *Settings) obstacles(ctx context.Context, command string) error {
	for exists(filepath.Join(s.Dir, "block-"+command)) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "fail-"+command))
	if err != nil {
		return nil
	}
	own := &types.Error{}
	if err := json.Unmarshal(text, own); err != nil {
		return types.NewError(types.ErrInternal, string(text), "")
	}
	return own
}

func (s *Settings) result(call Call) ([]byte, error) {
	var ips []map[string]any
	for _, ip := range s.IPs {
		ips = append(ips, map[string]any{"address": ip, "interface": 0})
	}
	result := map[string]any{
		"cniVersion": s.CNIVersion,
		"interfaces": []map[string]any{{"name": call.Interface, "mac": "02:00:00:00:00:01", "sandbox": call.NetNS}},
		"ips":        ips,
	}
	return json.Marshal(result)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// variables makes a map of an environment.
func variables(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// report writes a plugin's error to its standard output, as the specification says.
func report(err error) {
	var own *types.Error
	if !errors.As(err, &own) {
		own = types.NewError(types.ErrInternal, err.Error(), "")
	}
	data, _ := json.Marshal(own)
	fmt.Println(string(data))
}
