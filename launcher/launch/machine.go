package launch

import (
	"github.com/trivet-cri/trivet/launcher/health"
	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// machine is the supervisor's real world. What the members write goes to output.
type machine struct{ output *process.Output }

// Start runs a child process.
func (m machine) Start(command process.Command) (supervisor.Process, error) {
	p, err := process.Start(command, m.output)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Probe connects to a health socket.
func (m machine) Probe(socket string) (supervisor.Probe, error) {
	p, err := health.Dial(socket)
	if err != nil {
		return nil, err
	}
	return p, nil
}
