package users

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Resolved is as whom a process runs.
type Resolved struct {
	UID, GID uint32
	// AdditionalGIDs are sorted, without duplicates, and contain GID.
	AdditionalGIDs []uint32
	// Username and Home are those of the image's account with this uid;
	// empty if there is none.
	Username, Home string
}

// choice is a user and a group as somebody wrote them, with the name of the
// field for messages. An empty group means that of the user's account.
type choice struct {
	field       string
	user, group string
	image       bool // the image's, not the request's
}

// Resolve decides the user of a container's first process. The request wins
// over imageUser, which is "user", "user:group" or empty, each by name or
// number; with neither it is root. A name that the image does not know, a
// number out of range, or a group without a user is ErrInvalidArgument.
func Resolve(db *Database, sc *runtimeapi.LinuxContainerSecurityContext, imageUser string) (Resolved, error) {
	chosen, err := choose(sc, imageUser)
	if err != nil {
		return Resolved{}, err
	}
	who, err := chosen.lookUp(db)
	if err != nil {
		return Resolved{}, err
	}
	gids := []uint32{who.GID}
	switch policy := sc.GetSupplementalGroupsPolicy(); policy {
	case runtimeapi.SupplementalGroupsPolicy_Merge:
		gids = append(gids, db.memberships(who.Username)...)
	case runtimeapi.SupplementalGroupsPolicy_Strict:
	default:
		return Resolved{}, invalid("linux.security_context.supplemental_groups_policy", policy.String(), "is neither Merge nor Strict")
	}
	for _, gid := range sc.GetSupplementalGroups() {
		if gid < 0 || gid > MaxID {
			return Resolved{}, invalid("linux.security_context.supplemental_groups", strconv.FormatInt(gid, 10), "is out of range")
		}
		gids = append(gids, uint32(gid))
	}
	slices.Sort(gids)
	who.AdditionalGIDs = slices.Compact(gids)
	return who, nil
}

// choose takes the user of the request, else of the image. In the request a
// name wins over a uid, and a group alone has no meaning.
func choose(sc *runtimeapi.LinuxContainerSecurityContext, imageUser string) (choice, error) {
	var c choice
	switch {
	case sc.GetRunAsUsername() != "":
		c = choice{field: "linux.security_context.run_as_username", user: sc.GetRunAsUsername()}
		if strings.Contains(c.user, ":") {
			return c, invalid(c.field, c.user, "contains a colon")
		}
	case sc.GetRunAsUser() != nil:
		c = choice{field: "linux.security_context.run_as_user", user: strconv.FormatInt(sc.GetRunAsUser().GetValue(), 10)}
	case sc.GetRunAsGroup() != nil:
		gid := strconv.FormatInt(sc.GetRunAsGroup().GetValue(), 10)
		return c, invalid("linux.security_context.run_as_group", gid, "is set without run_as_user or run_as_username")
	default:
		c = choice{field: "the image's user", image: true}
		c.user, c.group, _ = strings.Cut(imageUser, ":")
		if strings.Contains(c.group, ":") {
			return c, invalid(c.field, imageUser, "has more than one colon")
		}
		return c, nil
	}
	if gid := sc.GetRunAsGroup(); gid != nil {
		c.group = strconv.FormatInt(gid.GetValue(), 10)
	}
	return c, nil
}

// groupField is where the group was written.
func (c choice) groupField() string {
	if c.image {
		return c.field + " (group)"
	}
	return "linux.security_context.run_as_group"
}

// lookUp resolves the names. A uid that the image does not know is fine and
// has group 0, a name that it does not know is not.
func (c choice) lookUp(db *Database) (Resolved, error) {
	user := c.user
	if user == "" {
		user = "0"
	}
	uid, numeric, err := number(c.field, user)
	if err != nil {
		return Resolved{}, err
	}
	var (
		a     account
		known bool
	)
	if numeric {
		a, _ = db.accountByUID(uid)
		a.uid = uid
	} else if a, known = db.accountByName(user); !known {
		return Resolved{}, invalid(c.field, user, "is not in the image's /etc/passwd")
	}
	who := Resolved{UID: a.uid, GID: a.gid, Username: a.name, Home: a.home}
	if c.group == "" {
		return who, nil
	}
	gid, numeric, err := number(c.groupField(), c.group)
	if err != nil {
		return Resolved{}, err
	}
	if !numeric {
		if gid, known = db.gidByName(c.group); !known {
			return Resolved{}, invalid(c.groupField(), c.group, "is not in the image's /etc/group")
		}
	}
	who.GID = gid
	return who, nil
}

// number reads an id. A value that is no number at all is a name.
func number(field, value string) (id uint32, numeric bool, err error) {
	if _, err := strconv.ParseInt(value, 10, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false, nil
	}
	id, ok := parseID(strings.TrimPrefix(value, "+"))
	if !ok {
		return 0, true, invalid(field, value, fmt.Sprintf("is not between 0 and %d", MaxID))
	}
	return id, true, nil
}

func invalid(field, value, why string) error {
	return fmt.Errorf("%s %.80q %s: %w", field, value, why, errdefs.ErrInvalidArgument)
}
