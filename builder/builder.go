// Package builder makes templates (paper 2.4): of packages, a directory, an archive or an
// image, and of older templates. Whatever has files in it is unpacked by a throw-away guest
// (package appliance); what this host does with it is flatten it to one archive.
//
// A template is made in the store's own filesystem and gets its name when it is whole and
// on the disc. One is made at a time.
package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/appliance"
	"uml/fault"
	"uml/settings"
	"uml/sparse"
	"uml/template"
	"uml/tool"
)

// Options are for building and updating alike.
type Options struct {
	Templates string       // the store
	Kernel    string       // of the guests that do the work: an absolute path
	HostDir   string       // the host's settings
	Say       func(string) // what is being done
	Verbose   func(string) // what these guests say; may be nil
	// Work begins to show long work on so many bytes; done ends it. nil shows nothing.
	Work func(what string, bytes int64) (told func(bytes int64), done func())
}

func (o Options) work(what string, bytes int64) (sparse.Told, func()) {
	if o.Work == nil {
		return nil, func() {}
	}
	return o.Work(what, bytes)
}

// A site is where one template is made: a machine of an account of its own, below the store.
type site struct {
	Options
	store *template.Store
	lock  *os.File
	name  string
	dir   string
	user  settings.Account
}

// open begins to make a template of that name, with the store locked and swept.
func (o Options) open(ctx context.Context, name string) (*site, error) {
	if _, stamp, err := template.ParseName(name); err != nil || stamp != "" {
		return nil, errors.Join(err, fault.Permanent("%q: a stamp is given to a template, not chosen", name))
	}
	if _, err := os.Stat(o.Kernel); err != nil {
		return nil, fault.Permanent("the kernel of the guest that does it: %w (try --kernel FILE)", err)
	}
	store, err := template.Make(o.Templates)
	if err != nil {
		return nil, err
	}
	s := &site{Options: o, store: store, name: name}
	if s.lock, err = store.Lock(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *site) prepare(ctx context.Context) (err error) {
	if _, err := s.store.Sweep(); err != nil {
		return err
	}
	if s.user, err = account(ctx); err != nil {
		return err
	}
	s.dir = filepath.Join(s.store.Staging(), s.name)
	return os.MkdirAll(filepath.Join(s.dir, "jail"), 0o755)
}

// Close removes what is left, unless another has the store.
func (s *site) Close() {
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
	s.lock.Close()
}

func (s *site) disc(n int) string { return filepath.Join(s.dir, "jail", fmt.Sprintf("ubd%d", n)) }

func (s *site) runner() tool.Runner { return tool.Runner{UID: s.user.UID, GID: s.user.GID} }

// create makes the disc that the template is to be.
func (s *site) create() (*os.File, error) {
	f, err := os.OpenFile(s.disc(0), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chown(s.user.UID, s.user.GID); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// temp makes a file without a name in the site.
func (s *site) temp() (*os.File, error) {
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return nil, &os.PathError{Op: "make a file in", Path: s.dir, Err: err}
	}
	return os.NewFile(uintptr(fd), s.dir), nil
}

// slack is the room that a filesystem's own tables and a journal may take.
const slack = 96 << 20

// needs says before the work whether the store has room for so many bytes.
func (s *site) needs(bytes int64) error {
	free, err := s.free()
	if err == nil && free < bytes+slack {
		err = fault.Temporary("%s: has %d MiB of room, and some %d are needed", s.store.Dir, free>>20, (bytes+slack)>>20)
	}
	return err
}

func (s *site) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.store.Dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// appliance is the machine, with more settings.
func (s *site) appliance(more map[string]string) appliance.Options {
	return appliance.Options{Dir: s.dir, User: s.user.Name, Kernel: s.Kernel, HostDir: s.HostDir, Log: s.Verbose, Settings: more}
}

// failed says what the guest cannot know: that its disc's errors were the host's want of room.
func (s *site) failed(err error) error {
	const little = 4 << 20
	if free, no := s.free(); err != nil && no == nil && free < little {
		return fault.Temporary("%s: has no room left: %s", s.store.Dir, strings.TrimSpace(err.Error()))
	}
	return err
}
