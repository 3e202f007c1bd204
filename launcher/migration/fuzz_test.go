package migration_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trivet-cri/trivet/launcher/migration"
)

// FuzzMigrate looks for files that panic, or whose result does not load.
func FuzzMigrate(f *testing.F) {
	files, err := filepath.Glob("testdata/v*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("\"\\u0000\" = {}\n[plugins]\n\"io.containerd.grpc.v1.cri\" = 1\n"))
	f.Add([]byte("[plugins.cri.containerd.runtimes]\n\"a\\n\" = {runtime_type = 1, options = 2}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := write(t, string(text))
		if _, err := migration.Migrate(file, 0); err != nil {
			return
		}
		migrate(t, file, 0)
	})
}
