package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// streamGoal is the ratio that the throughput of exec is to reach.
const streamGoal = 1.3

// stream runs the suite: exec and port-forward sessions that move much, and
// connections that move little.
func (s *sides) stream(ctx context.Context, opts *options) ([]figure, error) {
	containers, remove, err := s.containers(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer remove()
	var all []figure
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		for _, upload := range []bool{false, true} {
			name := fmt.Sprintf("exec %s, from the container", transport)
			if upload {
				name = fmt.Sprintf("exec %s, to the container", transport)
			}
			measured, err := s.inTurns(name, opts.rounds, nil, func(s *side, into *samples) error {
				return s.volume(name, opts.mib, into, func() error {
					return execVolume(ctx, containers[s][0], transport, upload, opts.mib)
				})
			})
			if err != nil {
				return nil, err
			}
			all = append(all, figures("stream", 1, volumeRows(name, streamGoal), measured)...)
		}
	}
	forwarded, err := s.forwards(ctx, containers, opts)
	return append(all, forwarded...), err
}

// volumeRows are the figures of a transfer.
func volumeRows(name string, goal float64) []row {
	return []row{
		{Name: name, Unit: "MiB/s", Goal: goal, More: true},
		{Name: name + ", CPU", Unit: "ms"},
	}
}

// volume takes down the speed of one transfer, and its CPU time.
func (s *side) volume(name string, mib int, into *samples, transfer func() error) error {
	return s.withCPU(name+", CPU", into, func() (int, error) {
		begun := time.Now()
		err := transfer()
		into.value(name, float64(mib)/time.Since(begun).Seconds())
		return 1, err
	})
}

// execVolume moves zeros through an exec session.
func execVolume(ctx context.Context, container *harness.Container, transport stream.Transport, upload bool, mib int) error {
	counted, said := &counter{}, &bytes.Buffer{}
	session := stream.Session{Transport: transport, Stdout: counted, Stderr: said}
	command := fmt.Sprintf("exec dd if=/dev/zero bs=1M count=%d 2>/dev/null", mib)
	if upload {
		ended := make(chan struct{})
		defer close(ended)
		session.Stdin, session.Stdout = io.MultiReader(io.LimitReader(zeros{}, int64(mib)<<20), endless{ended}), io.Discard
		// WebSocket sessions of before v5 have no half-close: the command counts.
		// dd closes its stdout, after which the built-in plugin takes no input: the shell keeps it.
		command = fmt.Sprintf("dd of=/dev/null bs=64k iflag=fullblock count=%d; exit $?", mib<<4)
	}
	var err error
	if session.URL, err = container.ExecURL(ctx, false, upload, "/bin/sh", "-c", command); err != nil {
		return err
	}
	code, err := session.Run(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err == nil && !upload && counted.n != int64(mib)<<20 {
		err = fmt.Errorf("%d bytes arrived", counted.n)
	}
	if err == nil && upload && !strings.HasPrefix(said.String(), fmt.Sprintf("%d+0 records in", mib<<4)) {
		err = fmt.Errorf("the command says %q", said)
	}
	return err
}

// zeros is an endless stream that costs next to nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// endless says nothing until it is over.
type endless struct{ over <-chan struct{} }

func (e endless) Read([]byte) (int, error) {
	<-e.over
	return 0, io.EOF
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// forwardPort is where the servers listen.
const forwardPort = 9000

// forwards measures port-forward over SPDY to servers in the containers' pods.
func (s *sides) forwards(ctx context.Context, containers map[*side][]*harness.Container, opts *options) (_ []figure, err error) {
	sessions := make(map[*side]stream.Forward)
	for _, side := range s.both {
		container := containers[side][0]
		server, err := serveIn(ctx, container)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, server.close()) }()
		url, err := container.Pod.PortForwardURL(ctx, forwardPort)
		if err != nil {
			return nil, err
		}
		session, err := stream.OpenForward(ctx, stream.SPDY, url, forwardPort)
		if err != nil {
			return nil, err
		}
		defer func() { _ = session.Close() }()
		sessions[side] = session
	}
	latency, err := s.inTurns("port-forward connections", opts.rounds, nil, func(s *side, into *samples) error {
		return s.withCPU("forwarded connection, CPU", into, func() (int, error) {
			for range opts.connections {
				if err := connect(sessions[s], into); err != nil {
					return 1, err
				}
			}
			return opts.connections, nil
		})
	})
	all := figures("stream", 1, []row{
		{Name: "forwarded connection", Unit: "ms", Goal: 0.8},
		{Name: "forwarded connection, CPU", Unit: "ms"},
	}, latency)
	for _, upload := range []bool{false, true} {
		if err != nil {
			return nil, err
		}
		name := map[bool]string{false: "port-forward, from the pod", true: "port-forward, to the pod"}[upload]
		var measured [2]*samples
		measured, err = s.inTurns(name, opts.rounds, nil, func(s *side, into *samples) error {
			return s.volume(name, opts.mib, into, func() error { return forwardVolume(sessions[s], upload, opts.mib) })
		})
		all = append(all, figures("stream", 1, volumeRows(name, 1.2), measured)...)
	}
	return all, err
}
