package faulty

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// frame is a message that nobody has looked into.
type frame struct{ bytes []byte }

// rawCodec passes messages as they are.
type rawCodec struct{}

// Marshal returns the bytes of a frame.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("proxy got a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(message.bytes)}, nil
}

// Unmarshal copies data into a frame.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("proxy got a %T", v)
	}
	message.bytes = data.Materialize()
	return nil
}

// Name is that of the codec whose place this takes.
func (rawCodec) Name() string { return "proto" }
