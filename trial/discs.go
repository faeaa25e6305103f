package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/handle"
	"uml/settings"
	"uml/sparse"
	"uml/superblock"
)

// discs gives the trial the machine's discs, and says so in its settings.
func (t *trial) discs(ctx context.Context, all map[string]string) error {
	for n := range 8 {
		all[fmt.Sprintf("ubd%d", n)] = "" // none
	}
	for _, d := range t.m.Discs {
		f, err := t.open(d.File)
		if d.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		value, err := t.disc(ctx, d, f)
		f.Close()
		if err != nil {
			return fmt.Errorf("ubd%d: %w", d.N, err)
		}
		all[fmt.Sprintf("ubd%d", d.N)] = value + flags(d)
	}
	if path.IsAbs(t.m.Initrd) || t.m.Initrd == "" {
		return nil
	}
	f, err := t.open(t.m.Initrd)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.clone(ctx, f, t.m.Initrd)
}

func flags(d settings.Disc) string {
	letters := ""
	if d.ReadOnly {
		letters += "r"
	}
	if d.NoTrim {
		letters += "t"
	}
	if letters == "" {
		return ""
	}
	return " flags=" + letters
}

// open is for reading, whatever becomes of it. A guest's user owns what is in the jail.
func (t *trial) open(name string) (*os.File, error) {
	var at *handle.File
	var err error
	if path.IsAbs(name) {
		at, err = handle.Open(name)
	} else {
		at, err = t.dir.Open(path.Join("jail", name))
	}
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil, err
	}
	if uid := int(at.Stat.Uid); uid != 0 && uid != t.m.User.UID {
		return nil, fault.Permanent("%s: belongs to user %d, neither %s nor root", at.Path, uid, t.m.User.Name)
	}
	return at.Reopen(unix.O_RDONLY)
}

// disc is what the setting is to be.
func (t *trial) disc(ctx context.Context, d settings.Disc, f *os.File) (value string, err error) {
	if d.Backing != "" {
		if err := t.share(ctx, d.Backing); err != nil {
			return "", err
		}
		return d.File + "," + d.Backing, t.clone(ctx, f, d.File)
	}
	if d.ReadOnly {
		return d.File, t.share(ctx, d.File)
	}
	if !t.up && onCOW(f) {
		return t.stack(f, d.File)
	}
	if t.up {
		t.Say(fmt.Sprintf("%s is copied while its guest writes it: as after a power cut", d.File))
	}
	return d.File, t.clone(ctx, f, d.File)
}

// onCOW says whether the guest's kernel reads the disc rightly below a COW file.
func onCOW(f *os.File) bool {
	st, err := f.Stat()
	if err != nil || cow.CheckSize(st.Size()) != nil {
		return false
	}
	found, err := superblock.Look(f, st.Size())
	for _, fs := range found {
		if verdict, _ := fs.OnCOW(); verdict != superblock.Safe {
			return false
		}
	}
	return err == nil && len(found) > 0
}

// stack puts a COW file on the disc.
func (t *trial) stack(f *os.File, name string) (value string, err error) {
	below, above := name+".below", name+".cow"
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := t.show(f, below); err != nil {
		return "", err
	}
	out, err := t.create(above)
	if err != nil {
		return "", err
	}
	_, err = cow.Create(out, cow.V3, "/"+below, st.Size(), st.ModTime().Unix())
	return above + "," + below, errors.Join(err, out.Close())
}

// share gives the trial what is only read: the host's own as it is, of the jail the file
// itself, or while another user's guest has it a copy.
func (t *trial) share(ctx context.Context, name string) error {
	if path.IsAbs(name) {
		return nil
	}
	f, err := t.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.up {
		return t.clone(ctx, f, name)
	}
	return t.show(f, name)
}

// show has the file itself there, to be read.
func (t *trial) show(f *os.File, name string) error {
	to, err := t.create(name)
	if err != nil {
		return err
	}
	to.Close()
	return show(fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd()), to.Name())
}

// clone copies it: blocks are shared where the filesystem can.
func (t *trial) clone(ctx context.Context, f *os.File, name string) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	to, err := t.create(name)
	if err != nil {
		return err
	}
	_, err = sparse.Clone(ctx, to, f, st.Size(), nil)
	if errors.Is(err, unix.ENOSPC) {
		err = fault.Temporary("a copy of %s: %w", name, err)
	}
	// The kernel compares a COW file's backing file's time with what is in its header.
	return errors.Join(err, to.Close(), os.Chtimes(to.Name(), st.ModTime(), st.ModTime()))
}

// create makes a file of the guest's in the trial's jail, which is root's.
func (t *trial) create(name string) (*os.File, error) {
	file := filepath.Join(t.path("jail"), name)
	if dir := path.Dir(name); dir != "." {
		if err := os.MkdirAll(filepath.Join(t.path("jail"), dir), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fault.Permanent("%s is more than one of its discs", strings.TrimPrefix(name, "/"))
	}
	if err != nil {
		return nil, err
	}
	if err := f.Chown(t.uid, t.gid); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
