package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
	"uml/sparse"
)

// Copy makes another machine of one that is down: its discs and settings, but an account,
// addresses, a name and keys of its own.
func Copy(ctx context.Context, o Options, from string, s Spec) (*Report, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if err := settings.CheckName(from); err != nil {
		return nil, fault.Permanent("%w", err)
	}
	p, err := o.take(root, from)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := p.takeLock(); err != nil {
		return nil, err
	}
	d, err := o.draft(s)
	if err != nil {
		return nil, err
	}
	d.fault(d.inherit(p))
	d.settle()
	c := &copying{p: p}
	defer c.close()
	d.fault(c.find(d))
	for _, f := range c.files {
		d.copies = append(d.copies, f.name)
	}
	d.fault(d.roomFor(c.taken))
	if o.DryRun {
		d.faults = append(d.faults, d.inUse()...)
		if err := d.judged(); err != nil {
			return nil, err
		}
		return nil, d.print(o.Out)
	}
	return d.make(ctx, c.copy)
}

// inherit takes the settings over that are not one machine's alone.
func (d *draft) inherit(p *parting) error {
	own, err := settings.Texts(p.at, "settings")
	if err != nil {
		return err
	}
	for _, name := range []string{"user", "ip4", "ip6", "mac", "tap"} {
		delete(own, name)
	}
	if d.Settings["net"] == "" && p.m.Net.Kind == settings.Routed && d.Settings["ip4"]+d.Settings["ip6"] == "" {
		delete(own, "net") // without an address it has none
	}
	maps.Copy(own, d.Settings)
	d.Settings = own
	file := own["kernel"]
	if file == "" || !filepath.IsAbs(file) {
		if d.applianceKernel, err = d.o.kernel(""); err != nil {
			return err
		}
		d.device, err = p.jailDevice(own["transport"])
	} else {
		d.device, err = device(file, own["transport"])
	}
	if root, ok := p.rootDisc(); !ok || filepath.IsAbs(root.File) || p.m.Initrd != "" {
		err = errors.Join(err, fault.Permanent("%s: its root is no disc of its own, but made of several by what its initrd does: such a one is not copied", p.name))
	}
	return err
}

// jailDevice is device of a kernel in the jail, which is its user's: whatever lies there.
func (p *parting) jailDevice(transport string) (string, error) {
	at, err := p.at.Open(filepath.Join("jail", p.m.Kernel))
	if err != nil {
		return "", fault.Permanent("kernel: %w", err)
	}
	defer at.Close()
	return deviceOf(at, at.Path, transport)
}

// rootDisc is the disc that is the guest's root.
func (p *parting) rootDisc() (settings.Disc, bool) {
	for _, d := range p.m.Discs {
		if p.m.Root == "/dev/ubd"+d.Letter() || p.m.Root == fmt.Sprintf("/dev/ubd%d", d.N) {
			return d, true
		}
	}
	return settings.Disc{}, false
}

// A copying is the files of a machine's jail that its copy gets too, held open and locked.
type copying struct {
	p     *parting
	files []copied
	taken int64 // bytes of the host's disc
}

type copied struct {
	name string // in the jail
	f    *os.File
	size int64
	mode uint32
}

func (c *copying) close() {
	for _, f := range c.files {
		f.f.Close()
	}
}

// find opens them. The jail is its user's, and he has no process: takeLock has seen to it.
func (c *copying) find(d *draft) error {
	p := c.p
	jail, err := p.at.Dir("jail")
	if err != nil {
		return err
	}
	defer jail.Close()
	var faults []error
	for _, disc := range p.m.Discs {
		if disc.Backing != "" && !filepath.IsAbs(disc.Backing) {
			faults = append(faults, fault.Permanent("%s: ubd%d stands on a backing file in its jail, which has another time of change when it is copied (merge it first: uml-disk cow merge)", p.name, disc.N))
			continue
		}
		if filepath.IsAbs(disc.File) {
			continue // read by both
		}
		if err := c.add(jail, disc.File, disc.Optional); err != nil {
			faults = append(faults, err)
		} else if f := c.has(disc.File); f != nil {
			if disc.N == 0 {
				d.Disc = settings.Size(f.size)
				if h, err := cow.Read(f.f); err == nil {
					d.Disc, d.COW = settings.Size(h.Size), true
				}
			} else if d.fit != nil {
				d.fit.Mounts.Discs = append(d.fit.Mounts.Discs, "/dev/ubd"+disc.Letter())
			}
		}
	}
	for _, name := range []string{p.m.Kernel, p.m.Initrd} {
		if name != "" && !filepath.IsAbs(name) {
			faults = append(faults, c.add(jail, name, false))
		}
	}
	return errors.Join(faults...)
}

func (c *copying) has(name string) *copied {
	for i := range c.files {
		if c.files[i].name == name {
			return &c.files[i]
		}
	}
	return nil
}

func (c *copying) add(jail *handle.Dir, name string, optional bool) error {
	at, err := jail.Open(name)
	if errors.Is(err, unix.ENOENT) && optional {
		return nil
	}
	if err != nil {
		return fault.Permanent("%s: %w", jail.Join(name), err)
	}
	defer at.Close()
	if filepath.Dir(name) != "." {
		return fault.Permanent("%s: lies in a directory of the jail, and is not copied", at.Path)
	}
	if err := at.Regular(); err != nil {
		return err
	}
	if uid := int(at.Stat.Uid); uid != 0 && uid != c.p.m.User.UID {
		return fault.Permanent("%s: belongs to user %d, neither %s nor root", at.Path, uid, c.p.m.User.Name)
	}
	var f *os.File
	err = handle.As(c.p.m.User.UID, c.p.m.User.GID, func() (err error) { // a link to a file of root's is no disc
		f, err = at.Reopen(unix.O_RDONLY)
		return err
	})
	if err != nil {
		return fault.Permanent("%w", err)
	}
	c.files = append(c.files, copied{name, f, at.Stat.Size, at.Stat.Mode & 0o777})
	c.taken += at.Stat.Blocks * 512
	return lock.TakeDisc(f, true)
}

// copy makes the files in the stage's jail.
func (c *copying) copy(ctx context.Context, d *draft, s *stage, a settings.Account) error {
	for _, from := range c.files {
		if err := c.one(ctx, d, from, filepath.Join(s.dir, "jail", from.name), a); err != nil {
			return fmt.Errorf("copy %s: %w", from.f.Name(), err)
		}
	}
	return nil
}

func (c *copying) one(ctx context.Context, d *draft, from copied, to string, a settings.Account) error {
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	told, done := d.o.work("copy "+from.name, from.size)
	_, err = sparse.Clone(ctx, f, from.f, from.size, told)
	done()
	return errors.Join(err, f.Chown(a.UID, a.GID), f.Chmod(os.FileMode(from.mode)), f.Sync())
}
