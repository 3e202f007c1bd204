package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// status is how an exec or attach session tells its client the end: the
// fields of Kubernetes' Status that clients read.
type status struct {
	Status  string   `json:"status"`
	Message string   `json:"message,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Details *details `json:"details,omitempty"`
	Code    int      `json:"code,omitempty"`
}

type details struct {
	Causes []cause `json:"causes"`
}

type cause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

var success = status{Status: "Success"}

// exited is the status of a command that has ended.
func exited(container string, code int) status {
	if code == 0 {
		return success
	}
	return status{
		Status:  "Failure",
		Message: fmt.Sprintf("command terminated with non-zero exit code: command in container %q exited with code %d", container, code),
		Reason:  remotecommand.NonZeroExitCodeReason,
		Details: &details{[]cause{{remotecommand.ExitCodeCauseType, strconv.Itoa(code)}}},
	}
}

// failed is the status of a session that could not do its work. Clients know
// it in this form from all runtimes.
func failed(err error) status {
	return status{
		Status: "Failure", Message: fmt.Sprintf("Internal error occurred: %v", err),
		Reason: "InternalError", Code: http.StatusInternalServerError,
	}
}

// encode returns what is sent: JSON to clients that know exit codes, to older
// ones the message of a failure.
func (s status) encode(exitCodes bool) []byte {
	if !exitCodes {
		return []byte(s.Message)
	}
	text, _ := json.Marshal(s) // strings and numbers: cannot fail
	return text
}
