package builder

import (
	"context"
	"errors"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"uml/fault"
	"uml/settings"
)

// Account is whose the guests are that make templates, and the programs that look into
// their filesystems.
const Account = "uml-template"

// account is made by the host's own useradd(8) when it is needed first.
func account(ctx context.Context) (settings.Account, error) {
	u, err := user.Lookup(Account)
	if errors.Is(err, user.UnknownUserError(Account)) {
		out, err := exec.CommandContext(ctx, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
			"--shell", "/usr/sbin/nologin", Account).CombinedOutput()
		if err != nil {
			return settings.Account{}, fault.Permanent("make the account %s: useradd: %w: %s", Account, err, strings.TrimSpace(string(out)))
		}
		u, err = user.Lookup(Account)
		if err != nil {
			return settings.Account{}, err
		}
		return ids(u)
	}
	if err != nil {
		return settings.Account{}, err
	}
	return ids(u)
}

func ids(u *user.User) (a settings.Account, err error) {
	a.Name = u.Username
	if a.UID, err = strconv.Atoi(u.Uid); err == nil {
		a.GID, err = strconv.Atoi(u.Gid)
	}
	if err == nil && (a.UID == 0 || a.GID == 0) {
		err = fault.Permanent("the account %s is root or of root's group", u.Username)
	}
	return a, err
}

// Runner is who looks into filesystems: the account, or nobody if there is none.
func Runner() (uid, gid int) {
	if u, err := user.Lookup(Account); err == nil {
		if a, err := ids(u); err == nil {
			return a.UID, a.GID
		}
	}
	return nobody, nobody
}

// nobody is Linux's overflow id (Documentation/admin-guide/sysctl/fs.rst).
const nobody = 65534
