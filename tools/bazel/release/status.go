package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// made says which source the release is made of.
type made struct {
	version string
	created time.Time // when the commit was made, not the release
}

func readStatus(path string) (made, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return made{}, err
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[key] = value
	}
	seconds, err := strconv.ParseInt(values["STABLE_TRIVET_TIME"], 10, 64)
	if err != nil {
		return made{}, fmt.Errorf("%s: STABLE_TRIVET_TIME: %w", path, err)
	}
	version := values["STABLE_TRIVET_VERSION"]
	if version == "" || strings.ContainsAny(version, "/ ") {
		return made{}, fmt.Errorf("%s: STABLE_TRIVET_VERSION is %q", path, version)
	}
	return made{version, time.Unix(seconds, 0).UTC()}, nil
}
