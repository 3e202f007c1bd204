package server

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
)

// answer is the writer of a connection that upgrades to WebSocket. What is
// written first is the server's answer, which names the subprotocol; the
// library does not tell it otherwise.
type answer struct {
	io.Writer
	agreed func(name string)
	given  bool
}

// Write writes; one goroutine may at a time.
func (a *answer) Write(p []byte) (int, error) {
	if !a.given {
		a.given = true
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
		if err == nil {
			a.agreed(response.Header.Get("Sec-WebSocket-Protocol"))
			_ = response.Body.Close()
		}
	}
	return a.Writer.Write(p)
}
