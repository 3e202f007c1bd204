package forward_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/trivet-cri/trivet/streamer/forward"
)

// waiting lets nothing be written before the pod has said all.
type waiting struct {
	io.ReadWriteCloser
	said chan struct{}
}

func (w waiting) Write(p []byte) (int, error) {
	<-w.said
	return w.ReadWriteCloser.Write(p)
}

// TestSplice: the client's end takes the rest once there is much, unless it
// cannot.
func TestSplice(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		bytes   int
		fail    error // of Splice
		spliced bool
	}{
		"little":      {bytes: 1000},
		"much":        {bytes: 1 << 20, spliced: true},
		"unsupported": {bytes: 1 << 20, spliced: true, fail: errors.ErrUnsupported},
		"failure":     {bytes: 1 << 20, spliced: true, fail: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t)
			listener, port := p.listen(t, "127.0.0.1:0")
			sent, said := make([]byte, test.bytes), make(chan struct{})
			_, _ = rand.Read(sent)
			serve(t, listener, func(c *net.TCPConn) { _, _ = c.Write(sent); close(said) })
			stream, client, send := newClient(true)
			_ = send.Close()
			stream.ReadWriteCloser = waiting{client, said}
			spliced := false
			stream.Splice = func(pod *net.TCPConn) error {
				if spliced = true; test.fail != nil {
					return test.fail
				}
				_, err := io.Copy(struct{ io.Writer }{client}, pod)
				return err
			}
			err := forward.Forwarder{}.Forward(t.Context(), request(p.path), port, stream)
			if failed := errors.Is(test.fail, broken); failed != errors.Is(err, broken) {
				t.Error(err)
			} else if !failed && !bytes.Equal(client.out.Bytes(), sent) {
				t.Errorf("%d bytes of %d came", client.out.Len(), len(sent))
			}
			if spliced != test.spliced {
				t.Errorf("spliced: %t", spliced)
			}
		})
	}
}
