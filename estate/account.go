package estate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// accountName is what every host's useradd takes.
var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func checkAccount(name string) error {
	if !accountName.MatchString(name) {
		return fault.Usage.Permanent("%q is no name of an account (small letters, digits, _ and -, at most 32; --account names one for a machine that is called otherwise)", name)
	}
	return nil
}

// addAccount makes the machine's account, by the host's own useradd: it knows login.defs, the
// locks and what else looks at accounts here. It keeps the stage's lock should we be killed.
func (s *stage) addAccount(ctx context.Context, shell string) (settings.Account, error) {
	err := account(ctx, s.lock.File, "useradd", "--system", "--user-group", "--no-create-home",
		"--home-dir", s.note.Home, "--shell", shell, "--", s.note.Account)
	if err != nil {
		return settings.Account{}, err
	}
	return settings.FindAccount(s.note.Account)
}

// removeAccount removes the account of the note, if its home says that it is that one: one that
// somebody has made of the same name meanwhile is his.
func (s *stage) removeAccount(ctx context.Context) error {
	u, err := user.Lookup(s.note.Account)
	if errors.As(err, new(user.UnknownUserError)) {
		return s.removeGroup(ctx)
	}
	if err != nil || u.HomeDir != s.note.Home {
		return err
	}
	if err := endAll(u.Uid); err != nil {
		return err
	}
	if err := account(ctx, s.lock.File, "userdel", "--", s.note.Account); err != nil {
		return err
	}
	return s.removeGroup(ctx)
}

// endAll ends what runs as an account that is about to go: a kernel that was killed leaves children,
// and userdel refuses while there are any.
func endAll(id string) error {
	uid, err := strconv.Atoi(id)
	if err != nil || uid == 0 {
		return err
	}
	for begun := time.Now(); time.Since(begun) < enough; time.Sleep(20 * time.Millisecond) {
		pids, err := processes(uid)
		if len(pids) == 0 || err != nil {
			return err
		}
		for _, pid := range pids {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			if still, _ := processes(uid); slices.Contains(still, pid) {
				unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			unix.Close(fd)
		}
	}
	return fault.GuestStays.Temporary("user %d has processes that do not end", uid)
}

// lookHome is an account's home.
func lookHome(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.HomeDir, nil
}

// removeGroup: a useradd that was ended between its two files has made the group alone, and a
// userdel removes it only where login.defs says so (USERGROUPS_ENAB).
func (s *stage) removeGroup(ctx context.Context) error {
	g, err := user.LookupGroup(s.note.Account)
	if err != nil {
		return nil
	}
	if used, err := groupUsed(g.Gid); used || err != nil {
		return err
	}
	return account(ctx, s.lock.File, "groupdel", "--", s.note.Account)
}

// groupUsed says whether an account has the group as its own.
func groupUsed(gid string) (bool, error) {
	text, err := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[3] == gid {
			return true, err
		}
	}
	return false, err
}

// account runs one of the host's programs for accounts. What it says is the reason of its failure.
func account(ctx context.Context, keep *os.File, name string, args ...string) error {
	file, err := exec.LookPath(name)
	if err != nil {
		return fault.ProgramMissing.Permanent("%s: there is no such program (Debian: passwd)", name)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = &said, &said
	if keep != nil {
		cmd.ExtraFiles = []*os.File{keep}
	}
	err = cmd.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(strings.ReplaceAll(said.String(), "\n", "; "))
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 { // cannot lock or update a file
		return fault.ProgramFailed.Temporary("%s: %s", name, text)
	}
	return fault.ProgramFailed.Permanent("%s: %s (%w)", name, text, err)
}

// shell is uml-shell where it is installed: beside this program, or where make install puts it.
func shell() string {
	self, err := os.Executable()
	if err == nil {
		for _, file := range []string{filepath.Join(filepath.Dir(self), "../bin/uml-shell"), filepath.Join(filepath.Dir(self), "uml-shell"), "/usr/local/bin/uml-shell"} {
			if st, err := os.Stat(file); err == nil && st.Mode()&0o111 != 0 && handle.Rooted(filepath.Dir(file)) == nil {
				return file
			}
		}
	}
	return "/usr/sbin/nologin"
}

// logAccount is what multilog runs as, for all machines (docs/tasks/by-hand.md). It is made once, and stays.
// One at a time makes it: useradd(8) looks whether it is there before it locks the file, and the second of
// two gives the account that the first has made another number.
func logAccount(ctx context.Context, root string) (settings.Account, error) {
	const name = "umllog"
	all, err := holdStaging(root)
	if err != nil {
		return settings.Account{}, err
	}
	defer all.Close()
	if _, err := user.Lookup(name); err != nil {
		err := account(ctx, all, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--", name)
		if err != nil {
			if _, again := user.Lookup(name); again != nil { // another may have made it
				return settings.Account{}, err
			}
		}
	}
	return settings.FindAccount(name)
}

// processes are those of an account.
func processes(uid int) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // gone
		}
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" && f[1] == strconv.Itoa(uid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
