// Package stream is the client's side of exec, attach and port-forward:
// what kubectl does with the URL that a CRI call has returned, over SPDY or
// over WebSocket.
//
// A session ends when the server ends it or its context ends; then every
// goroutine of it has ended too.
package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Transport is a wire protocol.
type Transport string

// The transports that a streaming server must speak.
const (
	SPDY      Transport = "spdy"
	WebSocket Transport = "websocket"
)

// Size is a terminal's, in characters.
type Size struct{ Width, Height uint16 }

// Session is one exec or attach session.
type Session struct {
	Transport Transport
	URL       string
	Stdin     io.Reader   // nil if the call did not ask for stdin
	Stdout    io.Writer   // nil if the call did not ask for stdout
	Stderr    io.Writer   // nil if the call did not ask for stderr, or with TTY
	TTY       bool        // the call asked for a terminal
	Resize    <-chan Size // with TTY: sizes to send; may be nil
}

// Run connects and serves the session to its end. It returns the exit code
// of the command. Stdin is half-closed at its end, where the transport can.
func (s Session) Run(ctx context.Context) (int, error) {
	var status []byte
	var err error
	switch s.Transport {
	case SPDY:
		status, err = s.runSPDY(ctx)
	case WebSocket:
		status, err = s.runWebSocket(ctx)
	default:
		err = fmt.Errorf("unknown transport %q", s.Transport)
	}
	if err != nil {
		return 0, fmt.Errorf("session over %s: %w", s.Transport, err)
	}
	return exitCode(status)
}

// exitCode reads the status that a server sends on the error stream.
func exitCode(status []byte) (int, error) {
	if len(status) == 0 {
		return 0, errors.New("session ended without a status")
	}
	var reply struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
		Details struct {
			Causes []struct {
				Reason  string `json:"reason"`
				Message string `json:"message"`
			} `json:"causes"`
		} `json:"details"`
	}
	if err := json.Unmarshal(status, &reply); err != nil {
		return 0, fmt.Errorf("status %.300q: %w", status, err)
	}
	if reply.Status == "Success" {
		return 0, nil
	}
	for _, cause := range reply.Details.Causes {
		if reply.Reason == "NonZeroExitCode" && cause.Reason == "ExitCode" {
			return strconv.Atoi(cause.Message)
		}
	}
	return 0, fmt.Errorf("server says %s: %s", reply.Reason, reply.Message)
}
