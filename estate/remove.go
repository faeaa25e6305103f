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
	"uml/lock"
	"uml/runscript"
	"uml/service"
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

// A parting is a machine that somebody takes apart, copies or renames: held, and known to be down.
type parting struct {
	o    Options
	root string
	name string
	dir  string
	lock *os.File // of the directory, as of one in staging
	at   *handle.Dir
	m    *settings.Machine
	held *os.File // the machine's lock, from quiet on
}

// take opens it, and refuses one that runs.
func (o Options) take(root, name string) (*parting, error) {
	p, err := o.seize(root, name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.moves(), p.down()); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// moves refuses one of which another host may have most, or all.
func (p *parting) moves() error {
	j, err := readJournal(p.dir)
	if j == nil || err != nil {
		return err
	}
	return j.under(p.name)
}

// seize opens it, whether it runs or not, for this uml-machine alone.
func (o Options) seize(root, name string) (p *parting, err error) {
	p = &parting{o: o, root: root, name: name, dir: filepath.Join(root, name)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.lock, err = open(p.dir); err != nil {
		return p, fault.MachineMissing.Permanent("%s: there is no such machine", p.dir)
	}
	if err := flock(p.lock, false); err != nil {
		p.lock = nil
		return p, err
	}
	if p.at, err = handle.OpenDir(p.dir); err != nil {
		return p, err
	}
	if err := p.at.RootsAlone(); err != nil {
		return p, err
	}
	p.m, err = settings.Read(p.at)
	if p.m == nil || p.m.User.UID == 0 { // other faults are no matter here
		return p, err
	}
	return p, nil
}

func (p *parting) close() {
	if p == nil {
		return
	}
	for _, f := range []*os.File{p.held, p.lock} {
		if f != nil {
			f.Close()
		}
	}
	if p.at != nil {
		p.at.Close()
	}
}

// down refuses a guest that runs, a start, and whoever is logged in.
func (p *parting) down() error {
	k, by, err := runscript.Kernel(p.at)
	switch {
	case err != nil:
		return err
	case k != nil:
		return fault.Temporary("%s: its guest runs, process %d (try: uml-ctl stop %s)", p.name, k.PID, p.name)
	case by != 0:
		return fault.Temporary("%s: is held by process %d (try: uml-ctl stop %s)", p.name, by, p.name)
	}
	return nil
}

// quiet ends what is around a guest that is down, and takes its lock: from then on it is nobody
// else's.
func (p *parting) quiet(ctx context.Context) error {
	s, err := service.Open(p.dir, p.o.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Deactivate(ctx, enough, runscript.Options{HostDir: p.o.HostDir, Out: p.o.Out, Say: func(_ fault.ID, line string) { p.o.Say(line) }}); err != nil {
		return err
	}
	return p.takeLock()
}

func (p *parting) takeLock() (err error) {
	if p.held, err = lock.Open(p.at); err != nil {
		return err
	}
	if err := lock.Take(p.held, p.m.User.UID, p.o.Say); err != nil {
		return err
	}
	if err := lock.Alone(p.m.User.Name, p.m.User.UID); err != nil {
		return err
	}
	pids, err := processes(p.m.User.UID)
	if err == nil && len(pids) > 0 {
		err = fault.Temporary("account %s has processes: %s (somebody is logged in?)", p.m.User.Name, strings.Trim(fmt.Sprint(pids), "[]"))
	}
	return err
}

// ours says whether the account is the machine's own, by its home.
func (p *parting) ours() (home string, ok bool) {
	u, err := lookHome(p.m.User.Name)
	if err != nil {
		return "", false
	}
	real, err := filepath.EvalSymlinks(u)
	return u, u == p.dir || err == nil && real == p.dir
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
	s := &stage{root: p.root, name: p.name, dir: p.dir, lock: p.lock}
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
	if err := p.o.clear(ctx, p.root, p.name); err != nil { // of a new one of that name, killed
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, p.dir, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("move %s to %s: %w", p.dir, to, err)
	}
	s.dir = to
	p.held.Close()
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
	texts, err := p.texts()
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

// discFiles are the files in the jail that the machine writes as discs.
func (p *parting) discFiles() (all []string) {
	for _, d := range p.m.Discs {
		for _, f := range []string{d.File, d.Backing} {
			if f != "" && !filepath.IsAbs(f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// texts are the machine's settings as they stand.
func (p *parting) texts() (map[string]string, error) {
	all := map[string]string{}
	dir, err := p.at.List("settings")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.Entries(1000)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, err := dir.OpenEntry(e)
		if err != nil {
			return nil, err
		}
		text, err := f.Read(64 << 10)
		f.Close()
		if err != nil {
			return nil, err
		}
		all[e.Name] = strings.TrimSuffix(string(text), "\n")
	}
	return all, nil
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
