package image

import (
	"net/http"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// What the tests of this package's outer side use of its inner side.
var (
	HostDir     = hostDir
	PullFailure = pullFailure
	Redact      = redact
	User        = user
)

// Shown is what a registry is shown of credentials.
func Shown(auth *runtimeapi.AuthConfig, host string) (user, secret string, header http.Header, err error) {
	c, err := parseAuth(auth)
	if err != nil {
		return "", "", nil, err
	}
	user, secret = c.forHost(host)
	return user, secret, c.header(host), nil
}

// Normalize is normalize, as text.
func Normalize(ref string) (string, error) {
	named, err := normalize(ref)
	if err != nil {
		return "", err
	}
	return named.String(), nil
}

// Index is an index of names without contents.
type Index struct{ x *index }

// NewIndex returns an empty index.
func NewIndex() Index { return Index{newIndex(func(Image) bool { return false })} }

// Ticket takes a ticket.
func (i Index) Ticket() uint64 { return i.x.ticket() }

// Apply applies a name with a label.
func (i Index) Apply(ticket uint64, name, label string) {
	i.x.apply(ticket, name, labelled(name, label))
}

// Remove applies that a name does not exist.
func (i Index) Remove(ticket uint64, name string) { i.x.apply(ticket, name, nil) }

// ApplyAll applies all names with their labels.
func (i Index) ApplyAll(ticket uint64, labels map[string]string) {
	all := make(map[string]record)
	for name, label := range labels {
		all[name] = *labelled(name, label)
	}
	i.x.applyAll(ticket, all)
}

// Labels are the names with their labels.
func (i Index) Labels() map[string]string {
	all := make(map[string]string)
	for name, r := range i.x.load().records {
		all[name] = r.name.Labels["label"]
	}
	return all
}

func labelled(name, label string) *record {
	return &record{name: engine.ImageName{Name: name, Labels: map[string]string{"label": label}}}
}
