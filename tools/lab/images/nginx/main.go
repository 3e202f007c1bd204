// Nginx stands in for the web server in tests: it answers every path with a
// page, writes its process id where the real one does, and is called
// "nginx: master process" in the process table.
//
// SIGQUIT ends it after the requests under way, SIGTERM and SIGINT at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	title   = "nginx: master process nginx"
	pidFile = "/var/run/nginx.pid"
	page    = "<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head>\n<body><h1>Welcome to nginx!</h1></body></html>\n"
)

func main() {
	flag.String("g", "", "global directives, as the real one takes them; not used")
	listen := flag.String("listen", ":80", "address to serve on")
	flag.Parse()
	if err := rename(); err != nil {
		fmt.Fprintf(os.Stderr, "nginx: %v\n", err)
		os.Exit(1)
	}
	if err := serve(*listen); err != nil {
		fmt.Fprintf(os.Stderr, "nginx: %v\n", err)
		os.Exit(1)
	}
}

// rename runs the program again under the name that the real one shows.
func rename() error {
	if strings.HasPrefix(os.Args[0], title) {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	args := append([]string{title}, os.Args[1:]...)
	return fmt.Errorf("run %s: %w", self, syscall.Exec(self, args, os.Environ()))
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := writePID(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT)
	server := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case received := <-signals:
		if received == syscall.SIGQUIT {
			err = server.Shutdown(context.Background())
		} else {
			err = server.Close()
		}
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}
}

func writePID() error {
	if err := os.MkdirAll(filepath.Dir(pidFile), 0o755); err != nil {
		return fmt.Errorf("write process id: %w", err)
	}
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write process id: %w", err)
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	fmt.Printf("%s - - [%s] %q 200 %d\n", r.RemoteAddr, time.Now().Format(time.RFC3339), r.Method+" "+r.URL.Path+" "+r.Proto, len(page))
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Server", "nginx")
	_, _ = io.WriteString(w, page) // the client may be gone
}
