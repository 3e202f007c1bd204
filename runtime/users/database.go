// Package users finds out as whom a container's process runs: it reads the
// passwd and group files of an image and resolves what the CRI request and
// the image say against them.
//
// The files come from whoever made the image. They are opened inside the
// image's root only (a link out of it ends inside it, as it would in the
// container), are bounded in size, and a line that makes no sense is left out
// rather than read as id 0. A missing file is an empty one.
package users

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxID is the highest uid or gid that OCI runtimes accept.
const MaxID = math.MaxInt32

// Database is the content of an image's passwd and group files. It never
// changes, so that it may be shared. The nil Database is empty.
type Database struct {
	accounts []account
	groups   []group
}

// account is a line of passwd.
type account struct {
	name     string
	uid, gid uint32
	home     string
}

// group is a line of group.
type group struct {
	name    string
	gid     uint32
	members []string
}

// Parse reads the text of a passwd and of a group file. It never fails:
// lines that are not entries are skipped, as the C library does.
func Parse(passwd, groups string) *Database {
	db := &Database{}
	for line := range strings.Lines(passwd) {
		if a, ok := parseAccount(line); ok {
			db.accounts = append(db.accounts, a)
		}
	}
	for line := range strings.Lines(groups) {
		if g, ok := parseGroup(line); ok {
			db.groups = append(db.groups, g)
		}
	}
	return db
}

// parseAccount reads name:password:uid:gid:comment:home:shell. Strings are
// cloned so that an entry does not keep the whole file in memory.
func parseAccount(line string) (account, bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) < 4 || !isName(fields[0]) {
		return account{}, false
	}
	uid, okUID := parseID(fields[2])
	gid, okGID := parseID(fields[3])
	if !okUID || !okGID {
		return account{}, false
	}
	a := account{name: strings.Clone(fields[0]), uid: uid, gid: gid}
	if len(fields) > 5 {
		a.home = strings.Clone(fields[5])
	}
	return a, true
}

// parseGroup reads name:password:gid:member,member.
func parseGroup(line string) (group, bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) < 3 || !isName(fields[0]) {
		return group{}, false
	}
	gid, ok := parseID(fields[2])
	if !ok {
		return group{}, false
	}
	g := group{name: strings.Clone(fields[0]), gid: gid}
	if len(fields) > 3 && fields[3] != "" {
		g.members = strings.Split(strings.Clone(fields[3]), ",")
	}
	return g, true
}

// isName refuses comments and the "+" and "-" lines of NIS.
func isName(s string) bool {
	return s != "" && !strings.ContainsAny(s[:1], "#+-")
}

// parseID reads a uid or gid in the range that OCI runtimes accept.
func parseID(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id > MaxID {
		return 0, false
	}
	return uint32(id), true
}

func (db *Database) accountByName(name string) (account, bool) {
	return db.account(func(a account) bool { return a.name == name })
}

func (db *Database) accountByUID(uid uint32) (account, bool) {
	return db.account(func(a account) bool { return a.uid == uid })
}

// account is the first match, as for getpwnam and getpwuid.
func (db *Database) account(match func(account) bool) (account, bool) {
	if db == nil {
		return account{}, false
	}
	i := slices.IndexFunc(db.accounts, match)
	if i < 0 {
		return account{}, false
	}
	return db.accounts[i], true
}

func (db *Database) gidByName(name string) (uint32, bool) {
	if db == nil {
		return 0, false
	}
	i := slices.IndexFunc(db.groups, func(g group) bool { return g.name == name })
	if i < 0 {
		return 0, false
	}
	return db.groups[i].gid, true
}

// memberships are the groups that list name as a member. A user's own group
// has its name and is no supplemental one.
func (db *Database) memberships(name string) []uint32 {
	if db == nil || name == "" {
		return nil
	}
	var gids []uint32
	for _, g := range db.groups {
		if g.name != name && slices.Contains(g.members, name) {
			gids = append(gids, g.gid)
		}
	}
	return gids
}
