package spec

import (
	"fmt"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// checkProcess refuses what no process can be given: the kernel ends strings
// at a zero byte, and would end the name of a variable at "=".
func checkProcess(config *runtimeapi.ContainerConfig) error {
	for field, words := range map[string][]string{"command": config.GetCommand(), "args": config.GetArgs()} {
		for i, word := range words {
			if strings.ContainsRune(word, 0) {
				return invalid(fmt.Sprintf("%s[%d]", field, i), word, "contains a zero byte")
			}
		}
	}
	if dir := config.GetWorkingDir(); strings.ContainsRune(dir, 0) {
		return invalid("working_dir", dir, "contains a zero byte")
	}
	for i, e := range config.GetEnvs() {
		switch field := fmt.Sprintf("envs[%d]", i); {
		case e.GetKey() == "":
			return invalid(field+".key", e.GetKey(), "is empty")
		case strings.ContainsAny(e.GetKey(), "=\x00"):
			return invalid(field+".key", e.GetKey(), `contains "=" or a zero byte`)
		case strings.ContainsRune(string(e.GetValue()), 0):
			return invalid(field+".value", string(e.GetValue()), "contains a zero byte")
		}
	}
	return nil
}
