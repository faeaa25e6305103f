package trial

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

const (
	hostName    = "host"    // in the trial's directory: the host's settings
	accountName = "uml-try" // while the machine's own account is taken
)

// settings are the machine's own, but for the kernel, the account, the discs, and what is
// outside of the guest: its log and its first terminal come to us.
func (t *trial) settings() (map[string]string, error) {
	all, err := settings.Texts(t.dir, "settings")
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(name, _ string) bool {
		stem := strings.TrimRight(name, "0123456789")
		return stem == "con" || stem == "ssl" || stem == "ubd"
	})
	// No descriptor can be two channels' (EALREADY at the second's open).
	all["con0"], all["con1"] = "null,fd:1", "fd:0,fd:2"
	all["kernel"], all["user"] = t.Kernel, t.m.User.Name
	if t.up {
		all["user"] = accountName
	}
	if t.m.Net.Kind == settings.Bridged { // to the guest a routed network is the same, with us as all that is on it
		delete(all, "spoof")
		delete(all, "isolated")
		delete(all, "net")
		if len(t.m.IP4) > 0 {
			delete(all, "ip6")
		}
	}
	delete(all, "sync") // nothing of it has to last
	delete(all, "lock")
	if t.m.MAC != nil { // without addresses it would follow from other settings
		all["mac"] = t.m.MAC.String()
	}
	return all, nil
}

// host writes the host's settings: nobody has to be waited for.
func (t *trial) host() error {
	var errs []error
	for name, value := range map[string]string{
		"external": external, "publish": "none", "guest-to-host": "yes",
		"min-uptime": "0", "stagger": "0", "pace": "0", "retry-delay": "0", "ping-timeout": "20",
	} {
		errs = append(errs, os.WriteFile(filepath.Join(t.outer, hostName, name), []byte(value+"\n"), 0o644))
	}
	return errors.Join(errs...)
}

// account is the machine's, or while a guest runs by that one which is there for the
// trial's own sight alone: no two guests are ever one user's.
func (t *trial) account() error {
	t.uid, t.gid = t.m.User.UID, t.m.User.GID
	if !t.up {
		return nil
	}
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	for uid := 2_000_000_000 + os.Getpid()%100_000_000; ; uid++ {
		if uid > 2_147_000_000 {
			return fault.Temporary("no user id is free")
		}
		_, err := unix.Getpriority(unix.PRIO_USER, uid)
		if !errors.Is(err, unix.ESRCH) || strings.Contains(string(text), fmt.Sprintf(":%d:", uid)) {
			continue
		}
		t.uid, t.gid = uid, uid
		break
	}
	file := filepath.Join(t.outer, "passwd")
	line := fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", accountName, t.uid, t.gid)
	if err := os.WriteFile(file, append([]byte(line), text...), 0o644); err != nil {
		return err
	}
	return show(file, "/etc/passwd")
}
