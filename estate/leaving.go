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
	"uml/handle"
	"uml/lock"
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

// Pack fills the passport, and opens the files.
func (l *Leaving) Pack(ctx context.Context) error {
	p := l.p
	texts, err := p.texts()
	if err != nil {
		return err
	}
	hostname, _ := os.Hostname()
	l.Passport = Passport{
		Move: l.ID, From: hostname, Name: p.name, Account: p.m.User.Name, Settings: texts,
		Segment: segment(p.m, l.host), Activate: l.Linked && l.Up,
	}
	if l.Keys, err = p.keys(); err != nil {
		return err
	}
	return errors.Join(l.packJail(), l.packBases(ctx))
}

// Repack opens the files of a guest that is down once more, and locks them: what the guest's user
// has put in their place meanwhile is what goes. What was offered must still be so.
func (l *Leaving) Repack() error {
	old := l.Files
	l.closeFiles()
	l.Files = nil
	if err := l.packJail(); err != nil {
		return err
	}
	for i, f := range old {
		if i >= len(l.Files) || l.Files[i].Name != f.Name || l.Files[i].Size != f.Size {
			return fault.Temporary("%s/jail/%s: has another size than when the move began: say it again", l.p.dir, f.Name)
		}
	}
	if len(l.Files) != len(old) {
		return fault.Temporary("%s/jail: has other discs than when the move began: say it again", l.p.dir)
	}
	return nil
}

// keys are the public keys by which customers log in (uml-shelld(8)): root's file.
func (p *parting) keys() (string, error) {
	f, err := p.at.Open(".ssh/authorized_keys")
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := errors.Join(f.Regular(), f.RootsAlone()); err != nil {
		return "", err
	}
	text, err := f.Read(mostText)
	return string(text), err
}

func (l *Leaving) packJail() error {
	p := l.p
	jail, err := p.at.Dir("jail")
	if err != nil {
		return err
	}
	defer jail.Close()
	var faults []error
	seen := map[string]bool{}
	add := func(name string, optional bool) {
		if name == "" || filepath.IsAbs(name) || seen[name] {
			return
		}
		seen[name] = true
		f, st, err := p.openOwn(jail, name)
		if errors.Is(err, unix.ENOENT) && optional {
			return
		}
		if err == nil && p.held != nil {
			err = lock.TakeDisc(f, true)
		}
		if err != nil {
			faults = append(faults, err)
			return
		}
		l.files = append(l.files, f)
		l.Files = append(l.Files, Baggage{Name: name, Size: st.Size, Data: st.Blocks * 512, Mode: st.Mode & 0o777, MTime: st.Mtim.Nano()})
	}
	for _, d := range p.m.Discs {
		add(d.Backing, false) // before what stands on it
		add(d.File, d.Optional)
	}
	add(p.m.Kernel, false)
	add(p.m.Initrd, false)
	return errors.Join(faults...)
}

// openOwn opens a file of the jail as its user: a link to a file of root's is no disc.
func (p *parting) openOwn(jail *handle.Dir, name string) (*os.File, unix.Stat_t, error) {
	at, err := jail.Open(name)
	if err != nil {
		return nil, unix.Stat_t{}, fault.Permanent("%s: %w", jail.Join(name), err)
	}
	defer at.Close()
	if filepath.Dir(name) != "." {
		return nil, at.Stat, fault.Permanent("%s: lies in a directory of the jail, and goes nowhere (move it into the jail itself)", at.Path)
	}
	if err := at.Regular(); err != nil {
		return nil, at.Stat, err
	}
	if uid := int(at.Stat.Uid); uid != 0 && uid != p.m.User.UID {
		return nil, at.Stat, fault.Permanent("%s: belongs to user %d, neither %s nor root", at.Path, uid, p.m.User.Name)
	}
	var f *os.File
	err = handle.As(p.m.User.UID, p.m.User.GID, func() (err error) {
		f, err = at.Reopen(unix.O_RDONLY)
		return err
	})
	if err != nil {
		return nil, at.Stat, fault.Permanent("%w", err)
	}
	return f, at.Stat, nil
}

// packBases tells what of the host's the machine uses. Only what is of the store of templates
// can be sent: any other file is the administrators', who have it on both hosts.
func (l *Leaving) packBases(ctx context.Context) error {
	seen := map[string]bool{}
	for _, d := range l.p.m.Discs {
		for _, file := range []string{d.File, d.Backing} {
			if !filepath.IsAbs(file) || seen[file] {
				continue
			}
			seen[file] = true
			b, err := l.p.o.base(ctx, fmt.Sprintf("ubd%d", d.N), file)
			if err != nil {
				return err
			}
			l.Bases = append(l.Bases, *b)
		}
	}
	if filepath.IsAbs(l.p.m.Kernel) {
		b, err := l.p.o.base(ctx, "kernel", l.p.m.Kernel)
		if err != nil {
			return err
		}
		l.Kernel = b
	}
	if filepath.IsAbs(l.p.m.Initrd) {
		return fault.Permanent("%s/settings/initrd: %s is the host's own: a machine with it is not moved (put it into the jail)", l.p.dir, l.p.m.Initrd)
	}
	return nil
}

// File is the n-th file to be sent: those of the passport, then the bases.
func (l *Leaving) File(n int) (f *os.File, size int64, err error) {
	if n >= 0 && n < len(l.files) {
		return l.files[n], l.Files[n].Size, nil
	}
	n -= len(l.Files)
	if n < 0 || n >= len(l.Bases) || l.Bases[n].Template == nil {
		return nil, 0, fault.Permanent("%s wants a file that was not offered", l.Host)
	}
	if l.bases[n] == nil {
		f, err := os.Open(l.Bases[n].Path)
		if err != nil {
			return nil, 0, err
		}
		l.bases[n] = f
	}
	return l.bases[n], l.Bases[n].Size, nil
}
