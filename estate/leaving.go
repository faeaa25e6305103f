package estate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/netsetup"
	"uml/runscript"
	"uml/service"
	"uml/settings"
)

// A Leaving is a machine that goes to another host, held. Until it is marked it is this host's,
// whatever else has happened; from then on it is the other's.
type Leaving struct {
	Passport
	Journal

	p     *parting
	host  *settings.Host
	svc   *service.Machine
	files []*os.File       // as Passport.Files
	bases map[int]*os.File // that are sent
}

// A Journal is what a machine's directory says of its move: on the disc before anything is done
// elsewhere, so that any end can be gone on from.
type Journal struct {
	ID     string // of the move
	Host   string
	Linked bool // into the service directory
	Up     bool // its supervisor was to have it up
}

const journalName = ".uml-move"

// Leave holds a machine for its move to a host, or goes on with one that was interrupted.
func (o Options) Leave(name, host string) (l *Leaving, err error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if err := settings.CheckName(name); err != nil {
		return nil, fault.Permanent("%w", err)
	}
	if host == "" || strings.HasPrefix(host, "-") || strings.ContainsAny(host, " \t\n") {
		return nil, fault.Permanent("%q is no host (as ssh takes it: HOST or USER@HOST)", host)
	}
	l = &Leaving{bases: map[int]*os.File{}, Journal: Journal{ID: newMove(), Host: host}}
	defer func() {
		if err != nil {
			l.Close()
			l = nil
		}
	}()
	p, err := o.seize(root, name)
	if err != nil {
		return l, err
	}
	l.p = p
	if l.host, err = settings.ReadHost(o.HostDir); err != nil {
		return l, err
	}
	if l.svc, err = service.Open(l.p.dir, o.Service); err != nil {
		return l, err
	}
	if err := l.resume(); err != nil {
		return l, err
	}
	return l, nil
}

// Close lets it go.
func (l *Leaving) Close() {
	l.closeFiles()
	for _, f := range l.bases {
		f.Close()
	}
	if l.svc != nil {
		l.svc.Close()
	}
	if l.p != nil {
		l.p.close()
	}
}

func (l *Leaving) closeFiles() {
	for _, f := range l.files {
		f.Close()
	}
	l.files = nil
}

// resume finds what an interrupted one has left. A move to another host must be taken back
// first: that host may have the guest.
func (l *Leaving) resume() error {
	j, err := readJournal(l.p.dir)
	if err != nil {
		return err
	}
	if j == nil {
		l.Linked, l.Up, err = l.svc.Active()
		return err
	}
	if j.Host != l.Host {
		return j.under(l.p.name)
	}
	l.Journal = *j
	return nil
}

// readJournal is that of the machine in a directory; nil if it has none.
func readJournal(dir string) (*Journal, error) {
	text, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		return nil, ignore(err, os.ErrNotExist)
	}
	j := new(Journal)
	if err := json.Unmarshal(text, j); err != nil {
		return nil, fault.Permanent("%s: %w", filepath.Join(dir, journalName), err)
	}
	return j, nil
}

// under is why the machine can be had by nobody else.
func (j *Journal) under(name string) error {
	return fault.MachineMoved.Permanent("%s is on its way to %s (uml-machine move %s %s goes on; with --abort it stays here)", name, j.Host, name, j.Host)
}

// Begun says whether an interrupted move has left its journal.
func (l *Leaving) Begun() bool {
	_, err := os.Lstat(filepath.Join(l.p.dir, journalName))
	return err == nil
}

// Begin writes the journal.
func (l *Leaving) Begin() error {
	text, err := json.Marshal(l.Journal)
	if err != nil {
		return err
	}
	return l.p.at.Replace(journalName+".new", journalName, string(text)+"\n")
}

// Forget takes the journal away, of a move that is over.
func (l *Leaving) Forget() error {
	return errors.Join(ignore(os.Remove(filepath.Join(l.p.dir, journalName)), os.ErrNotExist), syncDir(l.p.dir))
}

func ignore(err, not error) error {
	if errors.Is(err, not) {
		return nil
	}
	return err
}

// Dir is the machine's directory.
func (l *Leaving) Dir() string { return l.p.dir }

// Memory is its guest's RAM.
func (l *Leaving) Memory() settings.Size { return l.p.m.Mem }

// Kept is where it will be kept, but for the date.
func (l *Leaving) Kept() string { return filepath.Join(l.p.root, kept, l.p.name) }

// Data is how much of the disc the n-th file takes, in bytes.
func (l *Leaving) Data(n int) int64 {
	if n >= 0 && n < len(l.Files) {
		return l.Files[n].Data
	}
	if n -= len(l.Files); n >= 0 && n < len(l.Bases) {
		return l.Bases[n].Data
	}
	return 0
}

// Runs says whether the guest is up.
func (l *Leaving) Runs() bool { return l.p.down() != nil }

// Stop ends the guest and keeps it down, by its own init: by force, whatever that takes.
// Then its lock is this one's until Close, and its network is given back.
func (l *Leaving) Stop(ctx context.Context, timeout time.Duration, force bool) (service.Stopped, error) {
	stop := l.svc.Shut
	if force {
		stop = l.svc.Stop
	}
	s, err := stop(ctx, timeout)
	if err == nil && s.Back != nil {
		err = s.Back
	}
	if err == nil {
		err = l.p.takeLock()
	}
	if err == nil {
		err = netsetup.Down(l.p.m, l.host)
	}
	return s, err
}

// Restart has the guest go on here.
func (l *Leaving) Restart() error {
	if l.p.held != nil {
		l.p.held.Close()
		l.p.held = nil
	}
	if !l.Up {
		return nil
	}
	return l.svc.Up()
}

// Marked says whether the machine is the other host's.
func (l *Leaving) Marked() bool {
	_, err := os.Lstat(filepath.Join(l.p.dir, runscript.MovedTo))
	return !errors.Is(err, os.ErrNotExist)
}

// Mark makes it the other host's: no start is possible here any more. The lock must be held.
func (l *Leaving) Mark() error {
	return l.p.at.Replace("."+runscript.MovedTo, runscript.MovedTo, l.Host+"\nmove "+l.ID+"\n")
}

// Unmark makes it this host's again. The other must have said that it has not taken it, and will
// not.
func (l *Leaving) Unmark() error {
	return errors.Join(ignore(os.Remove(filepath.Join(l.p.dir, runscript.MovedTo)), os.ErrNotExist), syncDir(l.p.dir))
}

// Finish takes away what is left of a machine that the other host has taken: its link and
// supervisors, and its directory with its account, which are kept at the path that is returned,
// or not kept. What is interrupted here Finish does, or Collect.
func (l *Leaving) Finish(ctx context.Context, remove bool) (kept string, err error) {
	p := l.p
	if p.held != nil {
		p.held.Close() // Deactivate's
		p.held = nil
	}
	if err := p.quiet(ctx); err != nil {
		return "", err
	}
	if remove {
		return "", p.takeApart(ctx, Removal{})
	}
	return p.putAside(ctx)
}

// putAside moves the whole directory to where no machine is, and removes its account.
func (p *parting) putAside(ctx context.Context) (string, error) {
	s := &stage{root: p.root, name: p.name, dir: p.dir, lock: p.lock}
	if home, ours := p.ours(); ours {
		s.note.Account, s.note.Home = p.m.User.Name, home
	}
	if err := s.write(); err != nil {
		return "", err
	}
	if err := ignore(os.Mkdir(filepath.Join(p.root, kept), 0o700), os.ErrExist); err != nil {
		return "", err
	}
	to := filepath.Join(p.root, kept, p.name+movedMark+time.Now().UTC().Format("20060102T150405Z"))
	if err := unix.Renameat2(unix.AT_FDCWD, p.dir, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return "", fmt.Errorf("move %s to %s: %w", p.dir, to, err)
	}
	s.dir = to
	if err := errors.Join(syncDir(p.root), syncDir(filepath.Dir(to)), s.leaveAccount(ctx)); err != nil {
		return to, fmt.Errorf("%w (uml-machine gc does what is left)", err)
	}
	return to, nil
}

const movedMark = ".moved-"

// leaveAccount removes the account of a machine that was put aside, and its note.
func (s *stage) leaveAccount(ctx context.Context) error {
	if s.note.Account != "" {
		if err := s.removeAccount(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return os.Remove(filepath.Join(s.dir, noteName))
}

// Away says to what host a machine that is not here was moved, as far as that is known: by what
// was kept of it, the last.
func (o Options) Away(name string) (host string) {
	all, _ := filepath.Glob(filepath.Join(o.Machines, kept, name+movedMark+"*", runscript.MovedTo))
	if len(all) == 0 || settings.CheckName(name) != nil {
		return ""
	}
	text, _ := os.ReadFile(all[len(all)-1])
	host, _, _ = strings.Cut(string(text), "\n")
	return host
}
