package jaeger_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/tests/harness/jaeger"
)

const answer = `{"data":[{"traceID":"abc","processes":{"p1":{"serviceName":"trivet-runtime"},"p2":{"serviceName":"trivet-netsync"}},
"spans":[
 {"spanID":"2","operationName":"/trivet.netsync.v1.NetSync/Attach","processID":"p2","startTime":1500,"duration":40500,"references":[{"refType":"CHILD_OF","spanID":"1"}],"tags":[]},
 {"spanID":"1","operationName":"runtime.v1.RuntimeService/RunPodSandbox","processID":"p1","startTime":1000,"duration":50000,"references":[],"tags":[{"key":"k8s.pod.name","value":"web"}]}]}]}`

func client(t *testing.T, status int, text string) jaeger.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tags") != `{"k8s.pod.name":"web"}` || r.URL.Query().Get("service") != "trivet-runtime" {
			t.Errorf("asked %s", r.URL)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return jaeger.Client{URL: server.URL}
}

func TestTree(t *testing.T) {
	t.Parallel()
	traces, err := client(t, http.StatusOK, answer).Find(t.Context(), "trivet-runtime", "", map[string]string{"k8s.pod.name": "web"})
	if err != nil || len(traces) != 1 {
		t.Fatalf("%d traces, error %v", len(traces), err)
	}
	if roots := traces[0].Roots(); len(roots) != 1 || roots[0].ID != "1" || roots[0].Tags["k8s.pod.name"] != "web" {
		t.Fatalf("roots are %v", roots)
	}
	var text strings.Builder
	if err := traces[0].WriteTree(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	if !strings.HasPrefix(lines[1], "trivet-runtime  runtime.v1.RuntimeService/RunPodSandbox ") || !strings.HasSuffix(lines[1], " 0.0      50.0") {
		t.Errorf("root is %q", lines[1])
	}
	if !strings.HasPrefix(lines[2], "└─ trivet-netsync  trivet.netsync.v1.NetSync/Attach ") || !strings.HasSuffix(lines[2], " 0.5      40.5") {
		t.Errorf("child is %q", lines[2])
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		text   string
		want   string
	}{
		"refused":  {http.StatusInternalServerError, "no storage", "no storage"},
		"reported": {http.StatusOK, `{"errors":[{"msg":"bad tag"}]}`, "bad tag"},
		"torn":     {http.StatusOK, `{"data":[`, "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client(t, test.status, test.text).Find(t.Context(), "trivet-runtime", "", map[string]string{"k8s.pod.name": "web"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %q in it", err, test.want)
			}
		})
	}
}
