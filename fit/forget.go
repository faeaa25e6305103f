package fit

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// machineID gives the guest an id of its own (machine-id(5)): systemd's journal and its DHCP client
// go by it. D-Bus's is the same.
func (d *fitting) machineID() error {
	if d.f.Fresh == nil || d.f.Fresh.MachineID == "" {
		return nil
	}
	if err := d.replace("etc/machine-id", d.f.Fresh.MachineID+"\n", 0o444, 0, 0); err != nil {
		return err
	}
	const dbus = "var/lib/dbus/machine-id"
	if kind, there := d.is(dbus); there && kind != fs.ModeSymlink {
		return d.link("/etc/machine-id", dbus)
	}
	return nil
}

// histories are what programs keep of what was typed, in a home.
var histories = []string{".bash_history", ".ash_history", ".sh_history", ".zsh_history", ".python_history", ".lesshst", ".viminfo",
	".wget-hsts", ".mysql_history", ".psql_history", ".node_repl_history", ".rediscli_history", ".sqlite_history"}

// emptied are logs that some programs write only where they are there.
var emptied = []string{"wtmp", "btmp", "lastlog", "faillog"}

// forget removes what tells of the one that was copied, or of the making of the template.
func (d *fitting) forget() error {
	if d.f.Fresh == nil {
		return nil
	}
	homes, err := d.tree.names("home", maxNames)
	if err != nil {
		return err
	}
	root, err := d.home()
	if err != nil {
		return err
	}
	faults := []error{}
	dirs := []string{root}
	for _, h := range homes {
		dirs = append(dirs, path.Join("home", h))
	}
	for _, dir := range dirs {
		if kind, _ := d.is(dir); kind != fs.ModeDir {
			continue
		}
		for _, name := range histories {
			if kind, there := d.is(path.Join(dir, name)); there && kind != fs.ModeDir {
				faults = append(faults, d.remove(path.Join(dir, name)))
			}
		}
	}
	for _, name := range []string{"var/lib/systemd/random-seed", "var/lib/urandom/random-seed", "var/lib/misc/random-seed", "var/lib/random-seed",
		"var/lib/systemd/credential.secret", "var/lib/logrotate/status", "var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin", "etc/.pwd.lock"} {
		if kind, there := d.is(name); there && kind != fs.ModeDir {
			faults = append(faults, d.remove(name))
		}
	}
	all := func(string) bool { return true }
	leases := func(n string) bool { return strings.Contains(n, "lease") }
	for _, c := range []struct {
		dir  string
		what func(name string) bool
	}{
		{"var/log", all}, {"var/lib/apt/lists", all}, {"var/cache/apt/archives", func(n string) bool { return strings.HasSuffix(n, ".deb") }},
		{"var/cache/apk", all}, {"var/cache/dnf", all}, {"var/cache/yum", all},
		{"var/lib/dhcp", leases}, {"var/lib/dhclient", leases}, {"var/lib/dhcpcd", leases}, {"var/lib/NetworkManager", leases},
		{"var/lib/seedrng", all}, {"var/lib/systemd/timers", all}, {"var/tmp", all}, {"tmp", all},
	} {
		faults = append(faults, d.empty(c.dir, c.what, deepest))
	}
	return errors.Join(faults...)
}

// deepest is how far down directories are looked into.
const deepest = 40

// empty removes files and links below a directory, in pieces, since there may be millions, and
// leaves directories, which programs expect with their owners; but those of a journal, which are
// named for a machine-id, are removed.
func (d *fitting) empty(dir string, what func(name string) bool, depth int) error {
	if kind, there := d.is(dir); !there || kind != fs.ModeDir || depth == 0 {
		return nil
	}
	at, err := d.root.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	return emptyIn(at, what, depth, path.Base(dir) == "journal")
}

func emptyIn(at *os.Root, what func(name string) bool, depth int, journal bool) error {
	list, err := at.Open(".")
	if err != nil {
		return err
	}
	defer list.Close()
	for {
		entries, err := list.ReadDir(maxNames)
		for _, e := range entries {
			if err := emptyOne(at, e, what, depth, journal); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func emptyOne(at *os.Root, e fs.DirEntry, what func(name string) bool, depth int, journal bool) error {
	name := e.Name()
	switch {
	case e.IsDir() && journal:
		return at.RemoveAll(name)
	case e.IsDir() && depth > 1:
		below, err := at.OpenRoot(name)
		if err != nil {
			return err
		}
		defer below.Close()
		return emptyIn(below, what, depth-1, name == "journal")
	case e.IsDir() || !what(name) || name == "lock":
		return nil
	case slices.Contains(emptied, name) && e.Type().IsRegular():
		return renew(at, name)
	}
	return at.Remove(name)
}

// renew puts an empty file of the same owner and permissions in a file's place: what else is a
// name of the old one keeps it.
func renew(at *os.Root, name string) error {
	st, err := at.Lstat(name)
	if err != nil || st.Size() == 0 {
		return err
	}
	if err := at.RemoveAll(beside); err != nil {
		return err
	}
	f, err := at.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		err = f.Chown(int(s.Uid), int(s.Gid))
	}
	if err = errors.Join(err, f.Chmod(st.Mode().Perm()), f.Close()); err != nil {
		return err
	}
	return at.Rename(beside, name)
}
