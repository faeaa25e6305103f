package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"uml/initramfs"
	"uml/job"
)

// A room is what one appliance needs besides its machine: the archive, which is in memory
// and has the job with all its secrets, and host settings by which it starts at once. It
// is a directory of root's alone, locked as long as we live.
type room struct {
	dir  string
	lock *os.File
}

const (
	rooms  = "/run"
	prefix = "uml-appliance-"
)

func newRoom() (*room, error) {
	Sweep()
	dir, err := os.MkdirTemp(rooms, prefix)
	if err != nil {
		return nil, err
	}
	r := &room{dir: dir}
	if r.lock, err = hold(dir); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return r, nil
}

func (r *room) remove() {
	os.RemoveAll(r.dir)
	r.lock.Close()
}

// Sweep removes what was left by those who were killed: there are secrets of jobs in it. One
// that was made at this moment and is not locked yet is empty, and young.
func Sweep() {
	dirs, _ := filepath.Glob(filepath.Join(rooms, prefix+"*"))
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		if st, err := os.Stat(dir); len(entries) == 0 && (err != nil || time.Since(st.ModTime()) < time.Minute) {
			continue
		}
		if f, err := hold(dir); err == nil {
			os.RemoveAll(dir)
			f.Close()
		}
	}
}

func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *room) initrd() string { return filepath.Join(r.dir, "initrd") }

func (r *room) settings() string { return filepath.Join(r.dir, "host") }

// fill writes the archive and the host's settings.
func (r *room) fill(o Options, j job.Job) error {
	if err := os.Mkdir(r.settings(), 0o755); err != nil {
		return err
	}
	if err := r.hostSettings(o.HostDir); err != nil {
		return err
	}
	init, err := initramfs.Find(initramfs.ApplianceInit)
	if err != nil {
		return err
	}
	// The account reads it by a descriptor; nobody else comes through the directory.
	f, err := os.OpenFile(r.initrd(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	return errors.Join(initramfs.Write(f, initramfs.Options{Init: init, Job: j.Encode()}), f.Chmod(0o444), f.Close())
}

// hostSettings are the host's own but for what makes a start wait.
func (r *room) hostSettings(from string) error {
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	own := map[string]string{"min-uptime": "0", "stagger": "0", "pace": "0", "retry-delay": "0", "log-format": "text"} // we read what it refuses
	for _, e := range entries {
		if own[e.Name()] != "" || !e.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		own[e.Name()] = string(text)
	}
	for name, text := range own {
		if err := os.WriteFile(filepath.Join(r.settings(), name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
