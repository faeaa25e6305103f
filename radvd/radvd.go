// Package radvd is the configuration file of radvd(8), which advertises to each
// routed guest the /64 on its link. It is made from the settings of all machines;
// what an administrator wrote into it beside the machines' part stays, byte for
// byte.
//
// The file is its own record. What is in it was advertised: a prefix that is in it
// and in no settings any more is advertised with preferred lifetime 0 for two hours,
// until the time that stands beside it, and the section of a machine whose settings
// cannot be read stays as it is. So nothing else has to be kept in step with it.
//
// Not promised: that a guest hears. One whose TAP is gone, or which has no carrier,
// learns of a change when radvd next speaks to it.
package radvd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// tryFor is how long a file that is edited again and again is compared anew.
var tryFor = 20 * time.Second

// Options are what the command line says.
type Options struct {
	Machines string // machines root
	HostDir  string // host settings
	DryRun   bool
	Out      io.Writer
	Say      func(string)
}

// Write makes the file what the settings say and has radvd read it. A file that is
// so already is not touched, and radvd not told. The faults of single machines are
// returned, as passing ones, when all the others are written.
func Write(ctx context.Context, o Options) error {
	host, err := settings.ReadHost(o.HostDir)
	if err != nil {
		return err
	}
	f, err := find(host.RadvdConf)
	if err != nil {
		return err
	}
	if o.DryRun {
		return o.print(ctx, f)
	}
	l, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	for end := time.Now().Add(tryFor); ; {
		// The settings are read under the lock: of two that run at once the later
		// one writes what it read later.
		c, err := f.compare(o.Machines, time.Now())
		if err != nil {
			return err
		}
		err = o.write(ctx, f, l, c)
		if errors.Is(err, errEdited) {
			if time.Now().Before(end) {
				continue
			}
			err = fault.Temporary("%s: is being changed again and again, so nothing was written (try: fuser -v %s)", f.name, f.name)
		}
		return errors.Join(err, c.faults)
	}
}

func (o Options) print(ctx context.Context, f *file) error {
	c, err := f.compare(o.Machines, time.Now())
	if err != nil {
		return err
	}
	if c.differs() {
		err = c.sift(ctx) // what radvd refuses can be looked at all the same
	}
	switch {
	case !c.differs():
	case c.want == "":
		o.Say(fmt.Sprintf("%s would be removed", f.name))
	default:
		_, e := io.WriteString(o.Out, c.want)
		err = errors.Join(err, e)
	}
	return errors.Join(err, c.faults)
}

func (o Options) write(ctx context.Context, f *file, l *lock, c *comparison) error {
	owed, err := l.owed()
	if err != nil || !owed && !c.differs() {
		return err
	}
	if c.differs() {
		if err := f.rest(ctx); err != nil {
			return err
		}
	}
	// Though it was good when it was written: radvd ends on one that is not.
	if err := c.sift(ctx); err != nil || !owed && !c.differs() {
		return err
	}
	if c.differs() {
		if err := l.owe(); err != nil {
			return err
		}
		if err := f.replace(c.want); err != nil {
			return err
		}
	}
	found, err := f.tell(c.signal())
	if err != nil {
		return err
	}
	switch {
	case found || c.silent():
	case program() == "":
		o.Say(fmt.Sprintf("warning: %s: written, but radvd is not installed, so nothing checked it and nothing is advertised (try: apt-get install radvd)", f.name))
	default:
		o.Say(fmt.Sprintf("warning: %s: written, but no radvd that reads it is running (try: systemctl start radvd)", f.name))
	}
	return l.settle()
}

// A comparison is what the file is, and what it should be.
type comparison struct {
	file  *file
	links []link
	parts parted
	taken map[string]bool // interfaces of the administrator's
	now   time.Time

	have, want string // "": no file
	sections   []section
	interfaces int   // that are advertised on
	faults     error // of single machines
}

func (c *comparison) differs() bool { return c.have != c.want }

// silent says whether the file leaves radvd nothing to do. It then is none, or
// the administrator's comments. Either is an error to radvd, which ends on it.
func (c *comparison) silent() bool { return c.interfaces == 0 }

// signal is what radvd is told by: to read the file again; or to end, which says to
// the guests that their router is gone, as a failed reading would not.
func (c *comparison) signal() unix.Signal {
	if c.silent() {
		return unix.SIGTERM
	}
	return unix.SIGHUP
}

func (c *comparison) check(ctx context.Context) error {
	if c.silent() {
		return nil
	}
	return check(ctx, c.file.name, c.want)
}

func (f *file) compare(machines string, now time.Time) (*comparison, error) {
	links, err := read(machines)
	if err != nil {
		return nil, err
	}
	have, err := f.read()
	if err != nil {
		return nil, err
	}
	p, err := split(have)
	if err != nil {
		return nil, fault.Permanent("%s: %w", f.name, err)
	}
	c := &comparison{file: f, have: have, links: links, parts: p, taken: interfaces(p.before + p.after), now: now}
	c.make(nil)
	return c, nil
}

// make makes what is wanted, with some machines refused.
func (c *comparison) make(refused map[string]error) {
	links := slices.Clone(c.links)
	for i := range links {
		if err := refused[links[i].machine]; err != nil {
			links[i].err = err
		}
	}
	sections, faults := next(c.parts.sections, links, c.taken, c.now)
	c.sections, c.want, c.faults = sections, c.parts.with(sections), errors.Join(faults...)
	c.interfaces = len(c.taken) + len(sections)
}
