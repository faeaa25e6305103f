package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

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
