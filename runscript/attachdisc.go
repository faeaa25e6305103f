package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/mconsole"
	"uml/settings"
)

const maxDiscs = 8 // ubd0 to ubd7

func (s *start) attachDisc(ctx context.Context, c *mconsole.Client, pid int, d settings.Disc) error {
	device := fmt.Sprintf("ubd%d", d.N)
	is, err := c.Config(ctx, device)
	if err != nil {
		return err
	}
	if is = strings.TrimSpace(is); is != "" {
		return fault.AlreadyThere.Permanent("%s: is %s already (try: uml-ctl detach %s %s)", device, fault.Line(is), s.m.Name, device)
	}
	// What one has left that was killed, or never heard whether it was done.
	if err := letGo(c, device); err != nil {
		return err
	}
	s.makeRoom()
	in, err := s.openJail()
	if err != nil {
		return err
	}
	defer in.Close()
	names, err := s.bringNew(ctx, c, in, pid, &d)
	if err != nil {
		return err
	}
	if err := s.room.Extend(c.Process(), names); err != nil {
		return errors.Join(err, jail.Withdraw(c.Process(), names...))
	}
	if err := jail.Hold(c.Process(), device, s.keep); err != nil {
		return errors.Join(err, letGo(c, device))
	}
	err = c.Configure(ctx, discArgument(d))
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return errors.Join(err, letGo(c, device))
	}
	if err != nil { // the guest may have it, now or when it goes on
		return fault.Temporary("%w; %s stays locked for it (try: uml-ctl detach %s %s)", err, device, s.m.Name, device)
	}
	return nil
}

// bringNew opens and judges the disc's files. One that the jail has from the start
// stays where it is there, with the lock that the kernel has on it; names are those of
// the others in the annex. A pair is judged whichever of its files are new: a backing
// file that the jail has is most often another disc's too.
func (s *start) bringNew(ctx context.Context, c *mconsole.Client, in *handle.Dir, pid int, d *settings.Disc) (names []string, err error) {
	device, opened, named := fmt.Sprintf("ubd%d", d.N), files{}, *d
	var pair []*os.File
	for _, f := range []struct {
		file     *string
		name     string
		readOnly bool
	}{{&d.File, device, d.ReadOnly}, {&d.Backing, backing(device), true}} {
		if *f.file == "" {
			continue
		}
		file, written, err := s.inJailAlready(in, pid, *f.file, f.readOnly)
		if err != nil {
			return nil, err
		}
		if file != nil {
			defer file.Close()
			if pair = append(pair, file); written {
				err = unused(ctx, c, *f.file)
			} else {
				named.ReadOnly = named.ReadOnly || f.name == device
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if file, err = s.bringDisc(in, *f.file, f.readOnly, opened); err != nil {
			return nil, err
		}
		pair = append(pair, file)
		names = append(names, f.name)
		*f.file = jail.Annex + "/" + f.name
	}
	if len(pair) < 2 {
		return names, nil
	}
	if err := s.judgePair(named, pair[0], pair[1]); err != nil {
		return nil, err
	}
	return names, s.mend(ctx)
}

// inJailAlready is the file, opened as the user, if the jail has had it from the start,
// as a mount of its own: not for being in a directory of the user's that is there; else
// nil. And whether the guest may write it there.
func (s *start) inJailAlready(in *handle.Dir, pid int, name string, readOnly bool) (file *os.File, written bool, err error) {
	f, err := s.openFile(in, name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	root, err := handle.OpenDir(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, false, err
	}
	defer root.Close()
	g, err := root.Open(strings.TrimPrefix(name, "/"))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer g.Close()
	var st unix.Statx_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Statx(g.Fd(), "", unix.AT_EMPTY_PATH, 0, &st), unix.Fstatfs(g.Fd(), &fs)); err != nil {
		return nil, false, fmt.Errorf("look at %s: %w", g.Path, err)
	}
	if !f.Same(&g.Stat) || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, false, nil
	}
	written = fs.Flags&unix.ST_RDONLY == 0
	file, err = s.openDisc(f, readOnly || !written)
	return file, written, err
}

// unused: the lock that a kernel has from its start is the same for all its discs,
// and it gives two of them the same file.
func unused(ctx context.Context, c *mconsole.Client, file string) error {
	for n := range maxDiscs {
		device := fmt.Sprintf("ubd%d", n)
		is, err := c.Config(ctx, device)
		if err != nil {
			return err
		}
		if first, _, _ := strings.Cut(strings.TrimSpace(is), ","); first == inJail(file) {
			return fault.AlreadyThere.Permanent("%s: is %s of the guest already", file, device)
		}
	}
	return nil
}

// detachDisc also lets go of what an attach or detach has left that was killed.
func (s *start) detachDisc(ctx context.Context, c *mconsole.Client, device string) error {
	is, err := c.Config(ctx, device)
	if err != nil {
		return err
	}
	if strings.TrimSpace(is) == "" {
		s.Say(fault.Note, device+": the guest has none")
		return letGo(c, device)
	}
	if err := busy(c.Remove(ctx, device), device, "umount it, or swapoff"); err != nil {
		return err
	}
	return letGo(c, device)
}

// letGo takes from the kernel what it was given of a disc that it does not have open.
func letGo(c *mconsole.Client, disc string) error {
	return errors.Join(jail.Withdraw(c.Process(), disc, backing(disc)), jail.LetGo(c.Process(), disc))
}

func backing(disc string) string { return disc + ".backing" }
