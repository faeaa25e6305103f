package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/job"
	"uml/settings"
)

// Rename gives a machine that is down another name: its directory, its account if that is its own,
// and its guest's host name. It is deactivated first.
//
// The guest is told by an appliance, in staging: its root disc is there meanwhile. Until the
// directory is moved, all is given back if the work ends; from then on the same call, or Collect,
// does what is left.
func Rename(ctx context.Context, o Options, from, to string) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if err := errors.Join(settings.CheckName(from), settings.CheckName(to)); err != nil {
		return fault.Permanent("%w", err)
	}
	if from == to {
		return fault.Permanent("%s: has that name", from)
	}
	if done, err := o.renamed(ctx, root, from, to); done || err != nil {
		return err
	}
	p, err := o.take(root, from)
	if err != nil {
		return err
	}
	defer p.close()
	d, err := o.newName(p, to)
	if err != nil {
		return err
	}
	if o.DryRun {
		if err := errors.Join(append(d.faults, d.inUse()...)...); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "unlink   %s/uml-%s, if it is there\nnet      uml-net down %s\nfit      host name %s\nmove     %s to %s\naccount  %s\n", o.Service, from, from, to, p.dir, d.dir, d.Account)
		return nil
	}
	s, err := o.claim(ctx, root, to, note{From: from, User: p.m.User.Name, Home: d.home, Settings: d.Settings}, func() error {
		d.faults = append(d.faults, d.inUse()...)
		return d.judged()
	})
	if err != nil {
		return err
	}
	if err := d.rename(ctx, p, s); err != nil {
		return errors.Join(err, o.undo(ctx, s))
	}
	if err := o.undo(ctx, s); err != nil { // which does what is left, now that it is moved
		return fmt.Errorf("%w (%w)", err, ErrLeft)
	}
	return nil
}

// renamed goes on with one whose directory was moved already.
func (o Options) renamed(ctx context.Context, root, from, to string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(root, from)); !errors.Is(err, os.ErrNotExist) || o.DryRun {
		return false, nil
	}
	s, err := find(root, to)
	if s == nil || err != nil {
		return false, err
	}
	if s.note.From != from {
		s.lock.Close()
		return false, nil
	}
	return true, errors.Join(o.undo(ctx, s), forget(root, from))
}

// newName is the machine as it will be.
func (o Options) newName(p *parting, to string) (*draft, error) {
	texts, err := settings.Texts(p.at, "settings")
	if err != nil {
		return nil, err
	}
	account := p.m.User.Name
	if _, ours := p.ours(); ours && account == p.name {
		account = to
	}
	d := &draft{Spec: Spec{Name: to, Account: account, Settings: maps.Clone(texts)}, o: o, root: p.root, dir: filepath.Join(p.root, to), renames: p}
	d.home = d.dir
	if account == to {
		d.fault(checkAccount(to))
		delete(d.Settings, "user")
	}
	m, err := settings.Draft(d.dir, settings.Account{Name: account, UID: p.m.User.UID, GID: p.m.User.GID}, d.Settings)
	d.fault(err)
	d.m = m
	return d, nil
}

// rename does all up to the move.
func (d *draft) rename(ctx context.Context, p *parting, s *stage) error {
	d.step("host name in the guest, by a throw-away guest")
	if err := p.quiet(ctx); err != nil {
		return err
	}
	if err := d.renameGuest(ctx, p, s); err != nil {
		return err
	}
	if err := s.giveBack(); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	if err := settings.Write(p.at, "user", p.m.User.Name); err != nil { // whatever the machine is called
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, p.dir, unix.AT_FDCWD, d.dir, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", p.dir, d.dir, err)
	}
	return syncDir(d.root)
}

// renameGuest has an appliance write the host name, if the root is a disc that only this machine has.
func (d *draft) renameGuest(ctx context.Context, p *parting, s *stage) error {
	root, ok := p.rootDisc()
	if !ok || filepath.IsAbs(root.File) || filepath.Dir(root.File) != "." || p.m.Initrd != "" || root.Backing != "" && !filepath.IsAbs(root.Backing) {
		d.o.Say(fmt.Sprintf("%s: its root is no disc of its own: the host name in it stays", p.name))
		return nil
	}
	jail := filepath.Join(s.dir, "jail")
	if err := errors.Join(os.Mkdir(jail, 0o755), os.Chown(jail, p.m.User.UID, p.m.User.GID)); err != nil {
		return err
	}
	if err := moveFile(p.dir+"/jail", jail, root.File); err != nil {
		if errors.Is(err, unix.ENOENT) { // a machine without a disc yet
			return nil
		}
		return err
	}
	name := fmt.Sprintf("ubd%d", root.N)
	d.Settings = map[string]string{name: root.File, "kernel": p.m.Kernel}
	if root.Backing != "" {
		d.Settings[name] += "," + root.Backing
	}
	var err error
	if !filepath.IsAbs(p.m.Kernel) {
		if d.applianceKernel, err = d.o.kernel(""); err != nil {
			return err
		}
	}
	d.Account = p.m.User.Name
	_, err = d.run(ctx, s.dir, job.Job{Root: p.m.Root, Fit: &job.Fit{Name: d.Name}})
	return err
}

// moveFile moves a file from one jail to another, held by descriptors: the machine's user has no
// process, but what he has left there may be anything.
func moveFile(from, to, name string) error {
	a, err := handle.OpenDir(from)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := handle.OpenDir(to)
	if err != nil {
		return err
	}
	defer b.Close()
	at, err := a.Open(name)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return err
	}
	if err := unix.Renameat2(a.Fd(), name, b.Fd(), name, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", at.Path, to, err)
	}
	return errors.Join(syncDir(to), syncDir(from))
}

// giveBack returns the discs that a rename has taken for a while; of one that is through, it does
// what is left, since nothing is there to be returned to.
func (s *stage) giveBack() error {
	own := filepath.Join(s.root, s.note.From, "jail")
	if _, err := os.Lstat(own); errors.Is(err, os.ErrNotExist) {
		return s.renameAccount(context.Background())
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "jail"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue // the appliance's own
		}
		if err := moveFile(filepath.Join(s.dir, "jail"), own, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// renameAccount gives the account of a machine that was renamed its new home, and if it was called
// as the machine was, its name. Each step may have been done before.
func (s *stage) renameAccount(ctx context.Context) error {
	dir, err := handle.OpenDir(filepath.Join(s.root, s.name))
	if errors.Is(err, unix.ENOENT) {
		return nil // neither is there: somebody has removed it
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	from, old := s.note.From, filepath.Join(s.root, s.note.From)
	text, err := os.ReadFile(filepath.Join(s.root, s.name, "settings/user"))
	if err != nil {
		return nil // done
	}
	name := firstLine(string(text))
	if home, err := lookHome(name); err == nil && home == old {
		if name != from {
			return account(ctx, s.lock.File, "usermod", "--home", s.note.Home, "--", name)
		}
		if err := account(ctx, s.lock.File, "usermod", "--login", s.name, "--home", s.note.Home, "--", name); err != nil {
			return err
		}
	}
	if home, err := lookHome(s.name); err != nil || home != s.note.Home || name != from {
		return nil // the account is not the machine's own
	}
	if err := s.renameGroup(ctx, from); err != nil {
		return err
	}
	if err := settings.Write(dir, "user", s.name); err != nil {
		return err
	}
	return nil
}

// renameGroup: the account's own has its name.
func (s *stage) renameGroup(ctx context.Context, from string) error {
	g, err := user.LookupGroup(from)
	if err != nil {
		return nil // done
	}
	u, err := user.Lookup(s.name)
	if err != nil || u.Gid != g.Gid {
		return err
	}
	return account(ctx, s.lock.File, "groupmod", "--new-name", s.name, "--", from)
}

func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}
