package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// LogLine is one record of a container's log.
type LogLine struct {
	Time    time.Time
	Stream  string // stdout or stderr
	Partial bool   // the line goes on in the next record
	Text    string
}

// ReadLog reads a log in the CRI format. A record that is not in the format,
// also a torn one at the end, is an error that quotes it.
func ReadLog(path string) ([]LogLine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	lines := make([]LogLine, 0, bytes.Count(text, []byte("\n")))
	for number := 1; len(text) > 0; number++ {
		record, rest, complete := bytes.Cut(text, []byte("\n"))
		if !complete {
			return lines, fmt.Errorf("log %s, line %d: no newline after %.200q", path, number, record)
		}
		line, err := parseLogLine(string(record))
		if err != nil {
			return lines, fmt.Errorf("log %s, line %d: %w", path, number, err)
		}
		lines = append(lines, line)
		text = rest
	}
	return lines, nil
}

func parseLogLine(record string) (LogLine, error) {
	fields := strings.SplitN(record, " ", 4)
	if len(fields) != 4 {
		return LogLine{}, fmt.Errorf("%.200q has not four fields", record)
	}
	at, err := time.Parse(time.RFC3339Nano, fields[0])
	if err != nil {
		return LogLine{}, fmt.Errorf("time of %.200q: %w", record, err)
	}
	if fields[1] != "stdout" && fields[1] != "stderr" {
		return LogLine{}, fmt.Errorf("stream of %.200q is neither stdout nor stderr", record)
	}
	if fields[2] != "P" && fields[2] != "F" {
		return LogLine{}, fmt.Errorf("tag of %.200q is neither P nor F", record)
	}
	return LogLine{Time: at, Stream: fields[1], Partial: fields[2] == "P", Text: fields[3]}, nil
}

// AwaitLog waits until a line of the container's log is text.
func (c *Container) AwaitLog(ctx context.Context, text string) error {
	return Wait(ctx, fmt.Sprintf("%q in log %s", text, c.LogPath), func(context.Context) error {
		content, err := os.ReadFile(c.LogPath)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		// The end may be a record that is just being written: look at text.
		if !bytes.Contains(content, []byte(" F "+text+"\n")) {
			return fmt.Errorf("it has %d bytes without that", len(content))
		}
		return nil
	})
}
