package inside

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/job"
)

// look says what there is in the filesystem, which is /.
func look() (*job.Facts, error) {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return nil, err
	}
	f := &job.Facts{
		Used: int64(st.Blocks-st.Bfree) * st.Bsize, Inodes: int64(st.Files - st.Ffree),
		Init: initSystem(), Network: network(), Cloud: there("/etc/cloud", "/usr/bin/cloud-init"), SSH: program("sshd", "dropbear"),
	}
	release := osRelease()
	f.System, f.ID, f.Release = release["PRETTY_NAME"], release["ID"], release["VERSION_CODENAME"]
	if f.Release == "" {
		f.Release = release["VERSION_ID"]
	}
	f.Manager, f.Packages = packages()
	return f, nil
}

func there(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	})
}

func program(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return there("/usr/sbin/"+name, "/sbin/"+name, "/usr/bin/"+name, "/bin/"+name)
	})
}

// initSystem goes by what /sbin/init is, and not by what else is installed.
func initSystem() string {
	to, err := filepath.EvalSymlinks("/sbin/init")
	switch base := path.Base(to); {
	case err != nil:
		return ""
	case base == "systemd":
		return "systemd"
	case program("openrc"):
		return "openrc"
	case base == "busybox":
		return "busybox"
	case strings.HasPrefix(base, "runit"):
		return "runit"
	case there("/etc/inittab"):
		return "sysvinit"
	}
	return "another"
}

// network is what configures it, in the order in which they take it from one another.
func network() string {
	switch {
	case program("netplan"):
		return "netplan"
	case program("ifup"):
		return "ifupdown"
	case program("NetworkManager"):
		return "NetworkManager"
	case there("/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd"):
		return "systemd-networkd"
	}
	return ""
}

// maxRelease bounds os-release(5).
const maxRelease = 64 << 10

func osRelease() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		f, err := open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, maxRelease))
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if ok && !strings.HasPrefix(key, "#") {
				all[key] = strings.Trim(value, `"'`)
			}
		}
		break
	}
	return all
}

// open opens a regular file: a fifo would wait for ever.
func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, unix.EINVAL
	}
	return f, nil
}

// maxPackages bounds an answer; Debian has some 60,000 in all.
const maxPackages = 20_000

// packages are those that are installed, by the manager's own database.
func packages() (manager string, all []job.Package) {
	for _, db := range []struct{ file, manager, name, version string }{
		{"/var/lib/dpkg/status", "dpkg", "Package", "Version"},
		{"/lib/apk/db/installed", "apk", "P", "V"},
	} {
		f, err := open(db.file)
		if err != nil {
			continue
		}
		defer f.Close()
		all = paragraphs(f, db.name, db.version)
		slices.SortFunc(all, func(a, b job.Package) int { return strings.Compare(a.Name, b.Name) })
		return db.manager, all
	}
	if there("/var/lib/rpm", "/usr/lib/sysimage/rpm") {
		return "rpm", nil
	}
	return "", nil
}

// paragraphs reads deb822(5) and apk's database, which is alike: what dpkg knows as removed
// is none.
func paragraphs(r io.Reader, name, version string) (all []job.Package) {
	var p job.Package
	installed := true
	flush := func() {
		if p.Name != "" && installed && len(all) < maxPackages {
			all = append(all, p)
		}
		p, installed = job.Package{}, true
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull { // of a description: nothing of ours
			err = nil
		}
		text := bytes.TrimRight(line, "\n")
		key, value, _ := strings.Cut(string(text[:min(len(text), 500)]), ":")
		value = strings.TrimSpace(value)
		switch {
		case len(text) == 0:
			flush()
		case key == name:
			p.Name = value
		case key == version:
			p.Version = value
		case key == "Status":
			installed = strings.HasSuffix(value, " installed")
		}
		if err != nil {
			flush()
			return all
		}
	}
}
