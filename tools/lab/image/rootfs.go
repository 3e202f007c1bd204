package image

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`

const group = `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
wheel:x:10:root
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
`

// Two entries that the image with a predefined group has more.
const (
	groupMember = "default-user:x:1000:1000:Linux User,,,:/home/default-user:/bin/sh\n"
	groupEntry  = "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n"
)

// Busybox is a static busybox.
type Busybox struct {
	Program []byte
	Applets []string // what busybox --list says
}

// rootfs is a small system: busybox under all its names, and the files that
// name users and groups.
//
// The names are hard links as in the original image: masking /bin/ls by a
// mount must not mask the shell.
func rootfs(busybox Busybox) []File {
	files := []File{
		{Path: "bin/busybox", Mode: 0o755, Content: busybox.Program},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte(passwd)},
		{Path: "etc/group", Mode: 0o644, Content: []byte(group)},
		{Path: "tmp", Kind: Directory, Mode: 0o1777},
		{Path: "root", Kind: Directory, Mode: 0o700},
		{Path: "usr/bin/env", Kind: HardLink, Mode: 0o755, Target: "bin/busybox"},
	}
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "usr/sbin", "var", "var/run", "var/www", "mnt"} {
		files = append(files, File{Path: dir, Kind: Directory, Mode: 0o755})
	}
	for _, name := range busybox.Applets {
		if name != "busybox" {
			files = append(files, File{Path: "bin/" + name, Kind: HardLink, Mode: 0o755, Target: "bin/busybox"})
		}
	}
	return files
}
