// Applets are commands that tests call in the busybox image and that Debian's
// busybox lacks. Like busybox it does what its name says.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	name := filepath.Base(os.Args[0])
	applet, ok := map[string]func([]string) (int, error){"ipcs": ipcs, "pgrep": pgrep}[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "applets: no applet is called %q\n", name)
		os.Exit(127)
	}
	code, err := applet(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(code)
}
