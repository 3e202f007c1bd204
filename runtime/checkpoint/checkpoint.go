// Package checkpoint reads and writes checkpoints of containers and pods.
//
//	a container, frozen ─▶ directory ─▶ Pack ─▶ archive (tar)
//	archive, directory, image ─▶ Source ─▶ Unpack ─▶ directory ─▶ the OCI runtime
//
// The layout is the one that Podman, CRI-O and containerd share and that
// checkpointctl reads: config.dump, spec.dump and status.dump say what the
// container was, checkpoint/ has CRIU's images of its processes,
// rootfs-diff.tar what it changed in its file system, deleted.files what some
// runtimes list of that apart. A pod's checkpoint is a directory with
// pod.options, pod.dump and one such directory for each container, named by
// the container's id.
//
// Invariant: what comes from outside is unpacked by name, never by path: a
// fixed set of plain files in a directory of our own, as many bytes as the
// disk can spare. An archive appears whole or not at all. Whoever restores a
// checkpoint runs what is in it, as root if it says so: this package keeps it
// from touching anything else.
package checkpoint

import (
	metadata "github.com/checkpoint-restore/checkpointctl/lib"
)

// Names in a container's checkpoint.
const (
	ConfigFile  = metadata.ConfigDumpFile
	SpecFile    = metadata.SpecDumpFile
	StatusFile  = metadata.StatusDumpFile
	ImagesDir   = metadata.CheckpointDirectory
	RootfsDiff  = metadata.RootFsDiffTar
	DeletedList = metadata.DeletedFilesFile
	DumpLog     = metadata.DumpLogFile
	RestoreLog  = metadata.RestoreLogFile
	// LogFile has the container's own log.
	LogFile = "container.log"
	// StatsFile has CRIU's figures of the dump.
	StatsFile = "stats-dump"

	// inventory is the image without which CRIU restores nothing.
	inventory = "inventory.img"
)

// imageAnnotations are those that mark an OCI image as a checkpoint: of
// checkpointctl and newer runtimes, of CRI-O, of Podman.
var imageAnnotations = []string{
	metadata.CheckpointAnnotationName,
	"io.kubernetes.cri-o.annotations.checkpoint.name",
	"io.podman.annotations.checkpoint.name",
}

// IsImage tells by the annotations of an image's manifest whether it holds a
// checkpoint.
func IsImage(annotations map[string]string) bool {
	for _, key := range imageAnnotations {
		if annotations[key] != "" {
			return true
		}
	}
	return false
}
