package spec

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/annotation"
)

// setUmask applies the umask that the pod's annotation asks for, for commands
// in the container as well.
func setUmask(in *Input, s *specs.Spec) error {
	key, value, _ := in.allowed().Find(in.Pod.GetAnnotations(), annotation.Umask)
	if value == "" {
		return nil
	}
	umask, err := strconv.ParseUint(value, 8, 12)
	if err != nil || len(value) > 4 {
		return annotation.Invalid(key, value, "is not a umask of one to four octal digits")
	}
	mask := uint32(umask)
	s.Process.User.Umask = &mask
	return nil
}

// setUnified writes the files of cgroup version 2 that the pod's annotation has
// for the container, over what the request says.
func setUnified(in *Input, s *specs.Spec) error {
	key, value, _ := in.allowed().Find(in.Pod.GetAnnotations(), annotation.UnifiedCgroup+"/"+in.Config.GetMetadata().GetName())
	unified, err := parseUnified(key, value)
	if err != nil {
		return err
	}
	field := fmt.Sprintf("annotations[%q]", key)
	if err := checkUnified(field, unified); err != nil {
		return err
	}
	return limitUnified(s.Linux.Resources, field, unified, &in.Host)
}

// parseUnified reads FILE=VALUE;FILE=VALUE.
func parseUnified(key, text string) (map[string]string, error) {
	unified := make(map[string]string)
	for entry := range strings.SplitSeq(text, ";") {
		if entry == "" {
			continue
		}
		file, value, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, annotation.Invalid(key, entry, "is not FILE=VALUE")
		}
		unified[file] = plainText(value)
	}
	return unified, nil
}

// plainText is what a value that is base64 stands for: that is how it can have
// a semicolon or a line break. A value that would then be no text, as most
// numbers would, stands for itself.
func plainText(value string) string {
	decoded, err := base64.StdEncoding.DecodeString(value)
	text := string(decoded)
	if err != nil || text == "" || !utf8.ValidString(text) ||
		strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) }) {
		return value
	}
	return text
}
