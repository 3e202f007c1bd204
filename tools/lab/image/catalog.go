package image

import (
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Programs are our own that images contain: static, for Linux.
var Programs = []string{"nginx", "nnp", "pause"}

// Ingredients are what images are made of.
type Ingredients struct {
	Busybox  Busybox
	Programs map[string][]byte // by the names in Programs
}

const (
	e2e     = "registry.k8s.io/e2e-test-images/"
	staging = "gcr.io/k8s-staging-cri-tools/"
	path    = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// catalog collects images; the first error stays.
type catalog struct {
	images []Named
	base   v1.Layer
	err    error
}

// Catalog makes all images.
func Catalog(in Ingredients) ([]Named, error) {
	base, err := layer(rootfs(in.Busybox))
	if err != nil {
		return nil, err
	}
	c := &catalog{base: base, err: err}
	c.shells()
	c.servers(in.Programs["nginx"])
	c.singles(in.Programs)
	c.users()
	c.declaring()
	c.references()
	c.volumes()
	if c.err != nil {
		return nil, fmt.Errorf("make images: %w", c.err)
	}
	return c.images, nil
}

// add makes an image of the base layers and one of files.
func (c *catalog) add(config v1.Config, layers []v1.Layer, files []File, names ...string) {
	if c.err == nil && len(files) > 0 {
		var top v1.Layer
		if top, c.err = layer(files); c.err == nil {
			layers = append(layers[:len(layers):len(layers)], top)
		}
	}
	if c.err != nil {
		return
	}
	config.Env = append(config.Env, path)
	image, err := assemble(config, layers...)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", names[0], err)
		return
	}
	c.images = append(c.images, Named{Names: names, Image: image})
}

// busybox adds an image that has busybox and files.
func (c *catalog) busybox(config v1.Config, files []File, names ...string) {
	c.add(config, []v1.Layer{c.base}, files, names...)
}

var shell = v1.Config{Cmd: []string{"sh"}}

func (c *catalog) shells() {
	c.busybox(shell, nil,
		e2e+"busybox:1.29-2", e2e+"busybox:1.29-4", e2e+"busybox:1.36.1-1",
		"docker.io/library/busybox:latest", "docker.io/library/busybox:1.36", "docker.io/library/busybox:1.37.0",
		staging+"busybox:latest", "ghcr.io/containerd/busybox:1.36", "quay.io/prometheus/busybox:latest")
}

func (c *catalog) servers(nginx []byte) {
	server := []File{{Path: "usr/sbin/nginx", Mode: 0o755, Content: nginx}}
	config := v1.Config{
		Cmd:          []string{"nginx", "-g", "daemon off;"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
		StopSignal:   "SIGQUIT",
	}
	c.busybox(config, server, e2e+"nginx:1.14-2", e2e+"nginx:1.14-4", "docker.io/library/nginx:latest")
	config.Cmd = []string{"nginx", "-listen", ":12003"}
	config.ExposedPorts = map[string]struct{}{"12003/tcp": {}}
	c.busybox(config, server, staging+"hostnet-nginx-"+runtime.GOARCH+":latest")
	c.busybox(v1.Config{
		Cmd:          []string{"sh", "-c", "echo 'httpd: serving /www on port 80'; exec httpd -f -v -p 80 -h /www"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}, []File{
		{Path: "www", Kind: Directory, Mode: 0o755},
		{Path: "www/index.html", Mode: 0o644, Content: []byte("<html><body><h1>It works!</h1></body></html>\n")},
	}, e2e+"httpd:2.4.39-4", e2e+"httpd:2.4.38-4", "docker.io/library/httpd:latest")
}

// singles adds the images that have one program and nothing else.
func (c *catalog) singles(programs map[string][]byte) {
	// The versions differ, for critest counts the tags of one of them.
	for _, tag := range []string{"3.9", "3.10", "3.10.1", "3.10.2"} {
		names := []string{"registry.k8s.io/pause:" + tag}
		if tag == "3.9" {
			names = append(names, "k8s.gcr.io/pause:"+tag)
		}
		c.add(v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535", Labels: map[string]string{"version": tag}}, nil,
			[]File{{Path: "pause", Mode: 0o755, Content: programs["pause"]}}, names...)
	}
	c.add(v1.Config{Entrypoint: []string{"/nnp"}}, nil,
		[]File{{Path: "nnp", Mode: 0o4755, Content: programs["nnp"]}}, e2e+"nonewprivs:1.3")
}

// users adds the images that differ in the user they name.
func (c *catalog) users() {
	for _, u := range []struct{ name, user string }{
		{"uid", "1002"}, {"username", "www-data"}, {"uid-group", "1003:1004"}, {"username-group", "www-data:1004"},
	} {
		config := shell
		config.User = u.user
		c.busybox(config, nil, staging+"test-image-user-"+u.name+":latest")
	}
	config := shell
	config.User = "1000"
	c.busybox(config, []File{
		{Path: "etc/passwd", Mode: 0o644, Content: []byte(passwd + groupMember)},
		{Path: "etc/group", Mode: 0o644, Content: []byte(group + groupEntry)},
		{Path: "home/default-user", Kind: Directory, Mode: 0o755},
	}, staging+"test-image-predefined-group:latest")
}

// declaring adds an image that declares whatever an image can, for what
// requests leave to it.
func (c *catalog) declaring() {
	c.busybox(v1.Config{
		Entrypoint: []string{"/bin/sh", "-c"},
		Cmd:        []string{"echo from the image"},
		Env:        []string{"FROM_IMAGE=yes", "WHO=image", "EMPTY="},
		WorkingDir: "/var/www",
		User:       "mail",
		Volumes:    map[string]struct{}{"/data": {}, "/var/cache/deep": {}},
		StopSignal: "SIGINT",
		Labels:     map[string]string{"declared": "by the image"},
	}, []File{
		{Path: "data", Kind: Directory, Mode: 0o755},
		{Path: "data/seed", Mode: 0o644, Content: []byte("from the image\n")},
	}, "registry.k8s.io/trivet-test/declaring:1")
}

// references adds the images that are pulled by every kind of reference.
// Each has a file of its own name, which makes its digest its own.
func (c *catalog) references() {
	for _, name := range []string{"latest", "1", "2", "3"} {
		c.busybox(shell, mark("test-image-"+name), staging+"test-image-"+name+":latest")
	}
	c.busybox(shell, mark("test-image-tag"), staging+"test-image-tag:test")
	c.busybox(shell, mark("test-image-tag-all"), staging+"test-image-tag:all")
	tags := staging + "test-image-tags:"
	c.busybox(shell, mark("test-image-tags"), tags+"1", tags+"2", tags+"3")
	image, err := byDigest()
	if err != nil {
		c.err = err
		return
	}
	c.images = append(c.images, Named{Names: []string{staging + "test-image-digest:latest"}, Image: image})
}

// volumes adds the image that tests mount as a volume: a directory, and links
// that lead to it and to where no mount may follow.
func (c *catalog) volumes() {
	files := []File{
		{Path: "data", Kind: Directory, Mode: 0o755},
		{Path: "data/file", Mode: 0o644, Content: []byte("of the image\n")},
	}
	for link, target := range map[string]string{"inside": "data", "absolute": "/etc", "outside": "../../../../etc", "loop": "loop"} {
		files = append(files, File{Path: link, Kind: SymLink, Mode: 0o777, Target: target})
	}
	c.busybox(shell, files, staging+"test-image-volume:1")
}

// mark is a file that says what image it is in.
func mark(name string) []File {
	return []File{{Path: name, Mode: 0o644, Content: []byte(name + "\n")}}
}

// byDigest is the image that critest pulls by its digest. It depends on
// neither busybox nor a compiler, for critest is built with the digest inside.
func byDigest() (v1.Image, error) {
	only, err := layer(mark("test-image-digest"))
	if err != nil {
		return nil, err
	}
	return assemble(shell, only)
}

// PulledByDigest is the digest of the image that critest pulls by its digest.
func PulledByDigest() (string, error) {
	image, err := byDigest()
	if err != nil {
		return "", fmt.Errorf("make image: %w", err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("digest of image: %w", err)
	}
	return digest.String(), nil
}
