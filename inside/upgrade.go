package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/job"
)

// upgrade brings the packages up to date, by their own manager. All that this needs is gone
// afterwards, and no service was started by it.
func upgrade(u *job.Upgrade) (err error) {
	if err := online(u.Address); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return within(func() error {
		defer unmountAll()
		for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"}, {"tmpfs", "/run"}} {
			if err := errors.Join(os.MkdirAll(m.at, 0o755), unix.Mount(m.kind, m.at, m.kind, 0, "")); err != nil {
				return fmt.Errorf("mount %s: %w", m.at, err)
			}
		}
		back, err := aside(map[string]stand{
			"/etc/resolv.conf":      {resolvers(u.DNS), 0o644},
			"/usr/sbin/policy-rc.d": {"#!/bin/sh\nexit 101\n", 0o755}, // policy-rc.d(8) of invoke-rc.d: denied
		})
		if err == nil {
			err = manage()
		}
		unix.Kill(-1, unix.SIGKILL) // what was started all the same
		return errors.Join(err, back())
	})
}

func resolvers(all []netip.Addr) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "nameserver %v\n", a)
	}
	return b.String()
}

// A stand is a file that stands in for another.
type stand struct {
	text string
	mode fs.FileMode
}

// aside puts files in the place of those that are there, or are not; back undoes it.
func aside(files map[string]stand) (back func() error, err error) {
	const away = ".uml-template"
	back = func() error {
		var errs []error
		for name := range files {
			err := os.Remove(name)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			errs = append(errs, err)
			if _, none := os.Lstat(name + away); none == nil {
				errs = append(errs, os.Rename(name+away, name))
			}
		}
		return errors.Join(errs...)
	}
	for name, s := range files {
		if err := os.Rename(name, name+away); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return back, err
		}
		if err := os.WriteFile(name, []byte(s.text), s.mode); err != nil {
			return back, err
		}
	}
	return back, nil
}

// unmountAll leaves the filesystem alone to be unmounted.
func unmountAll() {
	for _, at := range []string{"/run", "/dev/pts", "/dev", "/sys", "/proc"} {
		unix.Unmount(at, unix.MNT_DETACH)
	}
}

// manage runs the manager of packages.
func manage() error {
	switch {
	case there("/usr/bin/apt-get"):
		conf := []string{"-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "APT::Update::Error-Mode=any"}
		if err := run("apt-get", append(conf, "update")...); err != nil {
			return err
		}
		if err := run("apt-get", append(conf, "--no-install-recommends", "dist-upgrade")...); err != nil {
			return err
		}
		return errors.Join(run("apt-get", "clean"), empty("/var/lib/apt/lists"), empty("/var/cache/apt"))
	case program("apk"):
		err := run("apk", "upgrade", "--no-progress", "--update-cache")
		return errors.Join(err, empty("/var/cache/apk"))
	}
	return fault.Permanent("it has neither apt-get nor apk, and no other way to upgrade it is known")
}

// empty removes what is in a directory that is a cache.
func empty(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(n))
	}
	return err
}
