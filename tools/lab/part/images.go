package part

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/trivet-cri/trivet/tools/lab/image"
)

// images is the part that the registry serves: an OCI image layout.
type images struct{}

func (images) Name() string { return "images (made here)" }

// sources are the directories of the lab that decide what images contain.
var sources = []string{"images", "image"}

// dir depends on the programs' and the images' source and on busybox.
func (images) dir(s Store) (string, error) {
	texts := []string{runtime.Version(), runtime.GOARCH}
	for _, source := range sources {
		err := filepath.WalkDir(filepath.Join(s.Source, source), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			relative, _ := filepath.Rel(s.Source, path)
			texts = append(texts, relative, string(text))
			return err
		})
		if err != nil {
			return "", fmt.Errorf("read source of images: %w", err)
		}
	}
	box, err := busybox.Find(s)
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(filepath.Join(box, "busybox"))
	if err != nil {
		return "", err
	}
	return filepath.Join(s.Cache, "images-"+key(append(texts, string(program))...)), nil
}

func (i images) Find(s Store) (string, error) {
	dir, err := i.dir(s)
	if err != nil {
		return "", err
	}
	return find(dir)
}

func (i images) make(ctx context.Context, s Store) error {
	if _, err := busybox.Find(s); err != nil {
		if err := busybox.make(ctx, s); err != nil {
			return err
		}
	}
	dir, err := i.dir(s)
	if err != nil {
		return err
	}
	return fill(dir, func(work string) error {
		ingredients, err := gather(ctx, s, filepath.Join(work, "programs"))
		if err != nil {
			return err
		}
		all, err := image.Catalog(ingredients)
		if err != nil {
			return err
		}
		if err := image.Write(work, all); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(work, "programs"))
	})
}

// gather builds our own programs into dir and reads what else is needed.
func gather(ctx context.Context, s Store, dir string) (image.Ingredients, error) {
	in := image.Ingredients{Programs: make(map[string][]byte)}
	box, err := busybox.Find(s)
	if err != nil {
		return in, err
	}
	path := filepath.Join(box, "busybox")
	if in.Busybox.Program, err = os.ReadFile(path); err != nil {
		return in, err
	}
	list, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return in, fmt.Errorf("list applets of busybox: %w", err)
	}
	in.Busybox.Applets = strings.Fields(string(list))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", dir+"/", "./images/...")
	cmd.Dir, cmd.Env = s.Source, goEnvironment(false)
	if err := watched(ctx, s, cmd); err != nil {
		return in, err
	}
	for _, name := range image.Programs {
		if in.Programs[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return in, err
		}
	}
	return in, nil
}
