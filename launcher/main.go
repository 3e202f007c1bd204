// Trivet is the launcher of the group and the user's command line.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/launcher/command"
)

func main() {
	inherited := listen.FromParent()
	if err := command.App(inherited).RunContext(context.Background(), os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "trivet: %v\n", err)
		os.Exit(1)
	}
}
