package journald

import (
	"bytes"
	"encoding/binary"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Priorities of the two streams, as conmon has them.
const (
	info  = '6'
	fault = '3'
)

// shortID is the length of CONTAINER_ID.
const shortID = 12

// fieldsOf are the fields that all entries of a container have.
func fieldsOf(c *streamerv1.Container) []byte {
	id := c.GetId()
	var fields []byte
	for _, f := range []struct{ name, value string }{
		{"CONTAINER_ID_FULL", id},
		{"CONTAINER_ID", id[:min(len(id), shortID)]},
		{"CONTAINER_NAME", c.GetName()},
		{"SYSLOG_IDENTIFIER", c.GetName()},
		{"K8S_POD_NAME", c.GetPodName()},
		{"K8S_NAMESPACE_NAME", c.GetPodNamespace()},
		{"K8S_POD_UID", c.GetPodUid()},
	} {
		if f.value != "" {
			fields = appendField(fields, f.name, []byte(f.value))
		}
	}
	return fields
}

// entry is a record in the CRI format, without its newline, as journald takes
// it: "TIME STREAM TAG LINE". A line may say its priority, as in "<4>low disk".
func entry(fixed, record []byte) []byte {
	_, record, _ = bytes.Cut(record, []byte{' '})
	stream, record, _ := bytes.Cut(record, []byte{' '})
	tag, text, _ := bytes.Cut(record, []byte{' '})
	priority := byte(info)
	if string(stream) == "stderr" {
		priority = fault
	}
	if len(text) >= 3 && text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>' {
		priority, text = text[1], text[3:]
	}
	out := make([]byte, 0, len(fixed)+len(text)+64)
	out = append(out, fixed...)
	out = appendField(out, "PRIORITY", []byte{priority})
	if string(tag) == "P" {
		out = appendField(out, "CONTAINER_PARTIAL_MESSAGE", []byte("true"))
	}
	return appendField(out, "MESSAGE", text)
}

// appendField writes a field. One with a newline, which would end it, has its
// length before it.
func appendField(out []byte, name string, value []byte) []byte {
	out = append(out, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		out = append(out, '=')
	} else {
		out = append(out, '\n')
		out = binary.LittleEndian.AppendUint64(out, uint64(len(value)))
	}
	return append(append(out, value...), '\n')
}
