package podtest

import (
	"context"
	"fmt"
	"strings"
)

// Labels is a fake selinux.Library, of one process. Calls: Labels.Init.
type Labels struct {
	faults *Faults
	*things[bool]
}

// Init is part of selinux.Library.
func (l *Labels) Init(options []string, _ bool) (process, mount string, err error) {
	level := ""
	for _, o := range options {
		if named, ok := strings.CutPrefix(o, "level:"); ok {
			level = named
		}
	}
	err = l.faults.Do(context.Background(), "Labels.Init", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := 0; level == ""; i++ {
			if chosen := fmt.Sprintf("s0:c%d,c%d", i, i+1); !l.all[chosen] {
				level = chosen
			}
		}
		l.all[level] = true
		return nil
	})
	if err != nil {
		return "", "", err
	}
	return "system_u:system_r:container_t:" + level, "system_u:object_r:container_file_t:" + level, nil
}

// Reserve is part of selinux.Library.
func (l *Labels) Reserve(label string) { l.Put(strings.SplitN(label, ":", 4)[3], true) }

// Release is part of selinux.Library.
func (l *Labels) Release(label string) { l.Drop(strings.SplitN(label, ":", 4)[3]) }
