package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
)

// Program is a command that measures or attacks Trivet for people, as those
// of tools/ are. O are its options.
type Program[O any] struct {
	Name, Usage string
	// Parse returns flag.ErrHelp when the usage is asked for.
	Parse func(args []string) (O, error)
	Run   func(ctx context.Context, options O) error
}

// Main runs the program until it ends or is interrupted, and exits: with 2 if
// the arguments are wrong.
func (p Program[O]) Main() {
	options, err := p.Parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(p.Usage)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n\n%s", p.Name, err, p.Usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err = p.Run(ctx, options)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}

// Progress says on standard error what goes on, with the time.
func Progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// OnStage builds the lab and Trivet in a directory whose name begins with
// trivet-NAME, has use do its work there with busybox at hand, and clears all away. After a
// failure the directory stays, for its logs.
func OnStage(ctx context.Context, name string, edit func(*config.Config), use func(stage *Stage, dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "trivet-"+name+"-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	Progress("building the lab's parts")
	if err := BuildLab(ctx, os.Stderr); err != nil {
		return err
	}
	stage, err := StartStage(ctx, StageOptions{
		Dir: dir, Progress: func(text string) { Progress("%s", text) }, Edit: edit,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, stage.Stop()); err != nil {
			Progress("the logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	if _, err := stage.CRI().Pull(ctx, Busybox); err != nil {
		return err
	}
	return use(stage, dir)
}

// AsInProduction is an edit of a group's configuration for measurements.
func AsInProduction(c *config.Config) { c.Log.Level = "info" }
