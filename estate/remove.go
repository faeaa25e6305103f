package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/cgroup"
	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// A Removal says how a machine is to go.
type Removal struct {
	KeepDiscs bool
	Sure      func(what string) (bool, error) // is asked when all is known, and before anything is done
}

// ErrLeft is in the error of what was interrupted where it cannot be taken back: said again, it
// goes on.
var ErrLeft = errors.New("say it again: it goes on")

// kept is where discs lie whose machine was removed, in the machines root.
const kept = ".kept"

// Remove takes a machine away that is down: its service link and supervisors, its network, its
// directory, its account. From the moment on at which the directory is moved to staging it is no
// machine any more; whatever ends the work then, the same call or Collect does what is left.
func Remove(ctx context.Context, o Options, name string, r Removal) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if err := settings.CheckName(name); err != nil {
		return fault.Permanent("%w", err)
	}
	dir := filepath.Join(root, name)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return o.goOn(ctx, root, name)
	}
	p, err := o.take(root, name)
	if err != nil {
		return err
	}
	defer p.close()
	if o.DryRun {
		return p.print(r)
	}
	if sure, err := r.Sure("remove " + p.what(r)); !sure || err != nil {
		return err
	}
	if err := p.quiet(ctx); err != nil {
		return err
	}
	return p.takeApart(ctx, r)
}

// goOn is for one that is in staging already.
func (o Options) goOn(ctx context.Context, root, name string) error {
	s, err := find(root, name)
	if err != nil {
		return err
	}
	if s == nil {
		return fault.MachineMissing.Permanent("%s: there is no such machine", filepath.Join(root, name))
	}
	if o.DryRun {
		s.lock.Close()
		_, err := fmt.Fprintf(o.Out, "remove   %s\n", s.dir)
		return err
	}
	return o.undo(ctx, s)
}

// what it is, for a question.
func (p *parting) what(r Removal) string {
	text := p.dir
	if _, ok := p.ours(); ok {
		text += ", account " + p.m.User.Name
	}
	if r.KeepDiscs {
		return text + "; its discs are kept"
	}
	return text + " and all of its discs"
}

// takeApart begins where it cannot be taken back.
func (p *parting) takeApart(ctx context.Context, r Removal) error {
	s := &stage{root: p.root, name: p.name, dir: p.dir}
	home, ours := p.ours()
	s.note.User = p.m.User.Name
	if ours {
		s.note.Account, s.note.Home = p.m.User.Name, home
	}
	if r.KeepDiscs {
		to, err := p.keep()
		if err != nil {
			return err
		}
		fmt.Fprintf(p.o.Out, "%s: discs and settings are in %s\n", p.name, to)
	}
	if err := s.write(); err != nil {
		return err
	}
	all, err := holdStaging(p.root)
	if err != nil {
		return err
	}
	defer all.Close()
	to := filepath.Join(p.root, staging, p.name)
	if err := p.clear(ctx); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, p.dir, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", p.dir, to, err)
	}
	p.held.Close()
	s.dir, s.lock = to, p.lock
	p.held, p.lock = nil, nil // undo lets it go
	if err := errors.Join(syncDir(p.root), syncDir(filepath.Dir(to)), p.o.undo(ctx, s)); err != nil {
		return fmt.Errorf("%w (%w)", err, ErrLeft)
	}
	if _, err := cgroup.Collect(func(m string) bool { return m == p.name }, false); err != nil {
		return err
	}
	if !ours {
		fmt.Fprintf(p.o.Out, "%s: account %s is left, since its home is not the machine's directory (userdel %s)\n", p.name, p.m.User.Name, p.m.User.Name)
	}
	return nil
}

// clear makes room in staging, where a new one of that name may lie that was killed.
func (p *parting) clear(ctx context.Context) (err error) {
	if _, err := os.Lstat(filepath.Join(p.root, staging, p.name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	p.lock.Close() // it is needed there; machine and staging are held meanwhile
	p.lock = nil
	if err := p.o.clear(ctx, p.root, p.name); err != nil {
		return err
	}
	p.lock, err = holdName(p.root, p.name)
	return err
}

// keep moves discs and settings to a place of root's alone. The account's number may be another's
// one day: they are root's then.
func (p *parting) keep() (string, error) {
	if err := os.Mkdir(filepath.Join(p.root, kept), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	to := filepath.Join(p.root, kept, p.name+"@"+time.Now().UTC().Format("20060102T150405Z"))
	if err := errors.Join(os.Mkdir(to, 0o700), os.Mkdir(filepath.Join(to, "jail"), 0o700)); err != nil {
		return "", err
	}
	jail, err := p.at.Dir("jail")
	if err != nil {
		return "", err
	}
	defer jail.Close()
	into, err := handle.OpenDir(filepath.Join(to, "jail"))
	if err != nil {
		return "", err
	}
	defer into.Close()
	for _, name := range p.discFiles() {
		if err := keepOne(jail, into, name); err != nil {
			return "", err
		}
	}
	texts, err := settings.Texts(p.at, "settings")
	if err != nil {
		return "", err
	}
	return to, writeSettings(to, texts)
}

// keepOne moves a disc, if it is a file. A name in a directory below the jail is kept by its last
// part.
func keepOne(jail, into *handle.Dir, name string) error {
	at, err := jail.Open(name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil // a link or a fifo is no disc
	}
	from := jail
	if dir := filepath.Dir(name); dir != "." {
		if from, err = jail.Dir(dir); err != nil {
			return err
		}
		defer from.Close()
	}
	base := filepath.Base(name)
	if err := unix.Renameat2(from.Fd(), base, into.Fd(), base, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s: %w", at.Path, err)
	}
	return unix.Fchownat(into.Fd(), base, 0, 0, unix.AT_SYMLINK_NOFOLLOW)
}

func (p *parting) print(r Removal) error {
	home, ours := p.ours()
	fmt.Fprintf(p.o.Out, "unlink   %s/uml-%s, if it is there; end its supervisors\nnet      uml-net down %s\n", p.o.Service, p.name, p.name)
	if r.KeepDiscs {
		fmt.Fprintf(p.o.Out, "keep     %s and settings in %s\n", strings.Join(p.discFiles(), " "), filepath.Join(p.root, kept))
	}
	fmt.Fprintf(p.o.Out, "remove   %s\n", p.dir)
	if ours {
		fmt.Fprintf(p.o.Out, "account  userdel %s (home %s)\n", p.m.User.Name, home)
	}
	return nil
}
