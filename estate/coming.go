package estate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/runscript"
	"uml/settings"
)

// A Coming is a machine that comes from another host. Until it is taken it is a directory of
// staging, which nobody can start.
type Coming struct {
	Pass  *Passport
	Notes []string // for the administrator
	Wants []int    // of the files that are offered, those that are to be sent
	Fresh bool     // nothing of them is here yet

	o     Options
	d     *draft
	s     *stage
	host  *settings.Host
	paths map[string]string // of a base there: where it is here; "" if it is sent
	told  map[string]bool   // the files of a host of which the offer says what is in them
}

// records are the moves by which machines were taken, in the machines root: what another host asks
// after years must have an answer.
const records = ".moves"

// An Errand is what more is said of a machine that comes: what the one who moves it has chosen.
type Errand struct {
	Account string // "": as it is called there
	Kernel  string // "": the same as there
}

// Judge looks at everything that Receive needs, and changes nothing. Beside are others that were
// judged, and are to come too.
func (o Options) Judge(ctx context.Context, p *Passport, e Errand, beside []*Coming) (*Coming, error) {
	c, err := o.judge(ctx, p, e)
	if err != nil {
		return nil, err
	}
	need := c.need()
	others := underWay(c.d.root, p.Name)
	for _, b := range beside {
		need += b.need()
		others = append(others, b.d.m)
		if c.d.m != nil {
			c.d.faults = append(c.d.faults, c.d.compare(b.d.m)...)
		}
	}
	c.memory(others)
	c.d.fault(c.d.roomFor(need))
	c.d.faults = append(c.d.faults, c.d.inUse()...)
	return c, c.d.judged()
}

func (o Options) judge(ctx context.Context, p *Passport, e Errand) (*Coming, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	account := e.Account
	if account == "" {
		account = p.Account
	}
	d, err := o.draft(Spec{Name: p.Name, Account: account, Settings: maps.Clone(p.Settings)})
	if err != nil {
		return nil, err
	}
	c := &Coming{Pass: p, o: o, d: d, paths: map[string]string{}, told: map[string]bool{}}
	if c.host, err = settings.ReadHost(o.HostDir); err != nil {
		return nil, err
	}
	if d.Account == d.Name {
		delete(d.Settings, "user")
	}
	if home, err := lookHome(d.Account); err == nil && home == d.home {
		d.ownAccount = true
	}
	if err := c.bases(ctx, e); err != nil {
		return nil, err
	}
	d.m, err = settings.Draft(d.dir, settings.Account{Name: d.Account, UID: -1, GID: -1}, d.Settings)
	d.fault(err)
	if d.m == nil {
		return c, nil
	}
	c.named()
	c.otherSegment(p.Segment)
	return c, nil
}

// memory says whether there is RAM for the machine beside others that are to come.
func (c *Coming) memory(beside []*settings.Machine) {
	if c.d.m == nil {
		return
	}
	note, err := runscript.RoomFor(c.d.m, c.host, beside...)
	c.d.fault(err)
	if note != "" {
		c.Notes = append(c.Notes, note)
	}
}

// underWay are the machines that come just now, but one: they will have their RAM promised, and
// are in no ledger yet.
func underWay(root, but string) (all []*settings.Machine) {
	for _, name := range staged(root) {
		dir := filepath.Join(root, staging, name)
		n, err := readNote(dir)
		if err != nil || n.Move == "" || name == but {
			continue
		}
		if s, err := find(root, name); err == nil {
			if s != nil {
				s.lock.Close() // nobody is at work on it: it was interrupted
			}
			continue
		}
		if m, _ := settings.Draft(filepath.Join(root, name), settings.Account{Name: n.User, UID: -1, GID: -1}, n.Settings); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// bases finds what the machine uses of its host's here, and has the settings say so.
func (c *Coming) bases(ctx context.Context, e Errand) error {
	if e.Kernel != "" {
		file, err := c.o.kernel(e.Kernel)
		c.d.fault(err)
		c.d.Settings["kernel"] = file
		c.told[file] = true
	} else if k := c.Pass.Kernel; k != nil {
		file, err := c.o.local(ctx, k)
		if err != nil {
			return err
		}
		if file == "" {
			c.d.fault(fault.Permanent("kernel %s: is not on this host with the same in it (uml-kernel add adds it; --kernel NAME takes another)", k.Path))
			file = k.Path
		}
		c.d.Settings["kernel"] = file
		c.told[file] = true
	}
	for i := range c.Pass.Bases {
		b := &c.Pass.Bases[i]
		file, err := c.o.local(ctx, b)
		if err != nil {
			return err
		}
		c.paths[b.Path] = file
		switch {
		case file == "" && b.Template == nil:
			c.d.fault(fault.Permanent("%s: %s is not on this host with the same in it (copy it to the same path)", b.Setting, b.Path))
		case file == "":
			c.Wants = append(c.Wants, len(c.Pass.Files)+i)
			file, err = c.o.comesTo(b)
			if err != nil {
				return err
			}
		}
		c.useBase(b, file)
		c.told[b.Path], c.told[file] = true, true
	}
	return nil
}

// useBase puts a path of this host into the settings, of all discs that stand on it.
func (c *Coming) useBase(b *Base, file string) {
	if file == b.Path || file == "" {
		return
	}
	for n := range 8 {
		name := fmt.Sprintf("ubd%d", n)
		if text, ok := c.d.Settings[name]; ok {
			c.d.Settings[name] = replaceWord(text, b.Path, file)
		}
	}
}

// replaceWord is for the name of a file in a disc's setting: FILE[,BACKING] [FLAGS].
func replaceWord(text, old, by string) string {
	end := func(s string) bool { return s == "" || strings.ContainsAny(s[:1], ", \t\r\n") }
	var b strings.Builder
	for from := 0; ; {
		at := strings.Index(text[from:], old)
		if at < 0 {
			return b.String() + text[from:]
		}
		at += from
		to := at + len(old)
		b.WriteString(text[from:at])
		if end(text[max(at-1, 0):at]) && end(text[to:]) {
			b.WriteString(by)
		} else {
			b.WriteString(old)
		}
		from = to
	}
}

// named: what the settings name of the jail is what comes, and nothing else does; what they name
// of the host is what the offer knows by what is in it.
func (c *Coming) named() {
	want := map[string]bool{}
	host := func(f string) {
		if filepath.IsAbs(f) && !c.told[f] {
			c.d.fault(fault.Permanent("file %s: the settings name it, and the offer does not say what is in it", f))
		}
	}
	for _, d := range c.d.m.Discs {
		for _, f := range []string{d.File, d.Backing} {
			host(f)
			if f != "" && !filepath.IsAbs(f) {
				want[f] = !d.Optional
			}
		}
	}
	for _, f := range []string{c.d.m.Kernel, c.d.m.Initrd} {
		host(f)
		if f != "" && !filepath.IsAbs(f) {
			want[f] = true
		}
	}
	for i, f := range c.Pass.Files {
		if _, ok := want[f.Name]; !ok {
			c.d.fault(fault.Permanent("file %s: no setting names it", f.Name))
		}
		delete(want, f.Name)
		c.Wants = append(c.Wants, i)
	}
	for f, needed := range want {
		if needed {
			c.d.fault(fault.Permanent("file %s: the settings name it, and it does not come", f))
		}
	}
}

// Receive makes the machine in staging, or finds what an interrupted move of it has left there.
func (o Options) Receive(ctx context.Context, p *Passport, e Errand) (c *Coming, err error) {
	if c, err = o.judge(ctx, p, e); err != nil {
		return nil, err
	}
	d := c.d
	if _, err := o.taken(d.root, p.Move); err == nil {
		return nil, fault.Permanent("%s was taken here already", p.Name)
	}
	if c.s, err = find(d.root, p.Name); err != nil {
		return nil, err
	}
	if c.s != nil && c.s.note.Move != p.Move {
		c.s.lock.Close()
		if c.s.note.Move != "" {
			return nil, fault.Permanent("another move of %s from %s is under way here (uml-machine move --abort there ends it, uml-machine gc --older 0 here)", p.Name, c.s.note.Host)
		}
		c.s = nil
	}
	if c.s != nil {
		if c.s.note.User != d.Account {
			c.Close()
			return nil, fault.Permanent("%s began to come as account %s, and is to be %s now (uml-machine move --abort there, and again)", p.Name, c.s.note.User, d.Account)
		}
		d.ownAccount = true // it was looked at when this began
		c.memory(underWay(d.root, p.Name))
		d.faults = append(d.faults, d.inUse()...)
		if err := d.judged(); err != nil {
			c.Close()
			return nil, err
		}
		c.s.note.Settings, c.s.note.Ready = d.Settings, false
		return c, errors.Join(c.s.write(), c.make(ctx))
	}
	c.Fresh = true
	n := note{Account: d.Account, User: d.Account, Home: d.home, Settings: d.Settings, Move: p.Move, Host: p.From}
	if d.ownAccount {
		n.Account = "" // it was here before
	}
	c.s, err = o.claim(ctx, d.root, d.Name, n, func() error {
		c.memory(underWay(d.root, p.Name))
		d.fault(d.roomFor(c.need()))
		d.faults = append(d.faults, d.inUse()...)
		return d.judged()
	})
	if err != nil {
		return nil, err
	}
	if err := c.make(ctx); err != nil {
		c.Close()
		return nil, errors.Join(err, o.Drop(ctx, p.Name, p.Move))
	}
	return c, nil
}

// need is what comes, in bytes.
func (c *Coming) need() (n int64) {
	for _, i := range c.Wants {
		if i < len(c.Pass.Files) {
			n += c.Pass.Files[i].Data
		} else {
			n += c.Pass.Bases[i-len(c.Pass.Files)].Data
		}
	}
	return n
}

// make makes what is not there yet.
func (c *Coming) make(ctx context.Context) error {
	if _, err := user.Lookup(c.d.Account); err != nil {
		if _, err := c.s.addAccount(ctx, shell()); err != nil {
			return err
		}
	}
	if err := ignore(os.Mkdir(filepath.Join(c.s.dir, "jail"), 0o755), os.ErrExist); err != nil {
		return err
	}
	if err := c.tidy(); err != nil {
		return err
	}
	return syncDir(c.s.dir)
}

// tidy takes the jail back from the account, which has it if the machine was whole once, and
// removes what does not come any more: root opens files there by their names.
func (c *Coming) tidy() error {
	jail := filepath.Join(c.s.dir, "jail")
	if err := os.Chown(jail, 0, 0); err != nil {
		return err
	}
	comes := map[string]bool{}
	for n, f := range c.Pass.Files {
		comes[filepath.Join(jail, f.Name)] = slices.Contains(c.Wants, n)
	}
	for i := range c.Pass.Bases {
		n := len(c.Pass.Files) + i
		comes[c.basePath(n)] = slices.Contains(c.Wants, n)
	}
	old, err := filepath.Glob(filepath.Join(c.s.dir, "base*"))
	inside, err2 := os.ReadDir(jail)
	for _, e := range inside {
		old = append(old, filepath.Join(jail, e.Name()))
	}
	errs := []error{err, err2}
	for _, file := range old {
		var st unix.Stat_t
		if err := unix.Lstat(file, &st); err != nil || !comes[file] || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
			errs = append(errs, err, os.RemoveAll(file))
		}
	}
	return errors.Join(errs...)
}

func (c *Coming) basePath(n int) string { return filepath.Join(c.s.dir, fmt.Sprintf("base%d", n)) }

// Room says whether there is still some for others, while files grow: what they take in all is
// only what the other host has said.
func (c *Coming) Room() error { return c.d.roomFor(0) }

// Close lets it go: what is there stays, for the next try.
func (c *Coming) Close() {
	if c != nil && c.s != nil && c.s.lock != nil {
		c.s.lock.Close()
	}
}

// Busy says whether an error is only that another uml-machine is at work on the machine.
func Busy(err error) bool { return errors.Is(err, errBusy) }

// Dir is a directory of root's alone, for what must not outlive the work.
func (c *Coming) Dir() string { return c.s.dir }

// File opens what a file that is wanted is written to. Root's alone until it is whole.
func (c *Coming) File(n int) (f *os.File, size int64, err error) {
	name := c.basePath(n)
	if n < len(c.Pass.Files) {
		name, size = filepath.Join(c.s.dir, "jail", c.Pass.Files[n].Name), c.Pass.Files[n].Size
	} else {
		size = c.Pass.Bases[n-len(c.Pass.Files)].Size
	}
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, 0, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// Ready does all that can fail, so that Take is one step: the templates that came, the headers of
// COW discs, owners, settings, log. It may be done again.
func (c *Coming) Ready(ctx context.Context) error {
	a, err := settings.FindAccount(c.d.Account)
	if err != nil {
		return err
	}
	for i := range c.Pass.Bases {
		if b := &c.Pass.Bases[i]; c.paths[b.Path] == "" {
			if err := c.keepBase(ctx, len(c.Pass.Files)+i, b); err != nil {
				return err
			}
		}
	}
	for n := range c.Pass.Files {
		if err := c.finishFile(n, a); err != nil {
			return err
		}
	}
	if err := c.rebase(); err != nil {
		return err
	}
	jail := filepath.Join(c.s.dir, "jail")
	if err := errors.Join(os.Chown(jail, a.UID, a.GID), syncDir(jail)); err != nil {
		return err
	}
	for _, name := range []string{"run", "log"} {
		if err := os.RemoveAll(filepath.Join(c.s.dir, name)); err != nil {
			return err
		}
	}
	notes, err := c.d.furnish(ctx, c.s)
	c.Notes = append(c.Notes, notes...)
	if err := errors.Join(err, c.keys(a), syncDir(c.s.dir)); err != nil {
		return err
	}
	// Its directory's own name too: who says "taken" must find it after a power cut.
	if err := syncDir(filepath.Dir(c.s.dir)); err != nil {
		return err
	}
	c.s.note.Ready = true
	return c.s.write()
}

func (c *Coming) keepBase(ctx context.Context, n int, b *Base) error {
	f, _, err := c.File(n)
	if err != nil {
		return err
	}
	defer f.Close()
	file, err := c.o.store(ctx, f, b)
	if err != nil {
		return err
	}
	c.paths[b.Path] = file
	return ignore(os.Remove(c.basePath(n)), os.ErrNotExist)
}

// finishFile gives a file to the account. Its time is part of what a COW file knows it by.
func (c *Coming) finishFile(n int, a settings.Account) error {
	f, _, err := c.File(n)
	if err != nil {
		return err
	}
	defer f.Close()
	t := time.Unix(0, c.Pass.Files[n].MTime)
	return errors.Join(f.Chown(a.UID, a.GID), f.Chmod(os.FileMode(c.Pass.Files[n].Mode)), os.Chtimes(f.Name(), t, t), f.Sync())
}

// rebase has the COW discs know their backing files as they are called here.
func (c *Coming) rebase() error {
	for _, d := range c.d.m.Discs {
		if !filepath.IsAbs(d.Backing) || filepath.IsAbs(d.File) {
			continue
		}
		if err := c.rebaseOne(d); err != nil {
			return fmt.Errorf("ubd%d: %w", d.N, err)
		}
	}
	return nil
}

func (c *Coming) rebaseOne(d settings.Disc) error {
	f, err := os.OpenFile(filepath.Join(c.s.dir, "jail", d.File), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ignore(err, fs.ErrNotExist) // an optional one
	}
	defer f.Close()
	was, err := f.Stat()
	if err != nil {
		return err
	}
	in, err := os.Open(d.Backing)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := cow.Open(f)
	if errors.Is(err, cow.ErrNone) && was.Size() == 0 {
		return nil // the guest's kernel makes it
	}
	if err != nil {
		return err
	}
	pair, err := file.With(in)
	if pair == nil {
		return err
	}
	if err == nil && pair.Backing == d.Backing {
		return nil
	}
	if err != nil && !errors.Is(err, cow.ErrChanged) {
		return err
	}
	return errors.Join(pair.Rename(d.Backing), f.Sync(), os.Chtimes(f.Name(), was.ModTime(), was.ModTime()))
}

// keys puts the customers' keys where sshd looks for them.
func (c *Coming) keys(a settings.Account) error {
	dir := filepath.Join(c.s.dir, ".ssh")
	if err := os.RemoveAll(dir); err != nil || c.Pass.Keys == "" {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "authorized_keys"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.Pass.Keys)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(dir))
}

// Take makes it this host's, by one step, and says so for ever after. What fails later is a note.
func (o Options) Take(ctx context.Context, name, move string, activate bool) (notes []string, err error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(settings.CheckName(name), checkMove(move)); err != nil {
		return nil, fault.Permanent("%w", err)
	}
	s, err := find(root, name)
	if err != nil {
		return nil, err
	}
	if s == nil || s.note.Move != move {
		if s != nil {
			s.lock.Close()
		}
		if was, err := o.taken(root, move); err == nil && was == name {
			return nil, o.startHere(root, name, move, activate, &notes)
		}
		return nil, fault.Permanent("there is no such move of %s here: it was given up", name)
	}
	if !s.note.Ready {
		s.lock.Close()
		return nil, fault.Permanent("%s is not whole here", name)
	}
	to := filepath.Join(root, name)
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) { // it can still be given up
		s.lock.Close()
		return nil, errors.Join(err, fault.Permanent("%s: is there already (move it away, and say it again)", to))
	}
	if err := o.record(root, name, move); err != nil {
		s.lock.Close()
		return nil, err
	}
	// The note goes only when it is a machine, and the record is there: settle.
	if err := s.settle(); !s.settled() {
		s.lock.Close()
		return nil, err
	} else if err != nil {
		notes = append(notes, fault.Line(err.Error()))
	}
	return notes, o.startHere(root, name, move, activate, &notes)
}

// startHere activates what was taken; that it fails does not make it the other host's again.
func (o Options) startHere(root, name, move string, activate bool, notes *[]string) error {
	if _, err := os.Lstat(filepath.Join(root, name)); err != nil || !activate || o.activated(root, move) {
		return nil // it may have gone on already, or be down again by somebody's will
	}
	d := &draft{Spec: Spec{Name: name}, o: o, root: root, dir: filepath.Join(root, name)}
	if err := d.activate(); err != nil {
		*notes = append(*notes, "not activated: "+fault.Line(err.Error())+" (try there: uml-ctl activate "+name+")")
		return nil
	}
	return o.record(root, name+activatedMark, move)
}

// activatedMark is in the record of a move whose machine was activated: who says "take" again does
// not activate it again.
const activatedMark = "\nactivated"

func (o Options) activated(root, move string) bool {
	text, _ := os.ReadFile(filepath.Join(root, records, move))
	return strings.HasSuffix(string(text), activatedMark+"\n")
}

// record notes that the move's machine was taken; it is on the disc before it is.
func (o Options) record(root, name, move string) error {
	dir := filepath.Join(root, records)
	if err := ignore(os.Mkdir(dir, 0o700), os.ErrExist); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, move+".new"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(name + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), filepath.Join(dir, move)), syncDir(dir), syncDir(root))
}

// taken is the machine that a move has brought here.
func (o Options) taken(root, move string) (name string, err error) {
	text, err := os.ReadFile(filepath.Join(root, records, filepath.Base(move)))
	name, _, _ = strings.Cut(string(text), "\n")
	return name, err
}

// Drop gives up a machine that has not been taken: from then on it cannot be. One that was taken is
// ErrTaken.
func (o Options) Drop(ctx context.Context, name, move string) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if err := errors.Join(settings.CheckName(name), checkMove(move)); err != nil {
		return fault.Permanent("%w", err)
	}
	s, err := find(root, name)
	if err != nil {
		return err
	}
	if _, err := o.taken(root, move); !errors.Is(err, fs.ErrNotExist) {
		if s != nil {
			s.lock.Close()
		}
		if err == nil {
			err = fault.Permanent("%w", ErrTaken)
		}
		return err
	}
	if s == nil || s.note.Move != move {
		if s != nil {
			s.lock.Close()
		}
		return nil
	}
	return o.undo(ctx, s)
}

// ErrTaken is why a move cannot be taken back.
var ErrTaken = errors.New("the guest was taken there")
