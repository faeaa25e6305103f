package estate

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/netsetup"
	"uml/settings"
)

// inUse says of all that the machine would claim what somebody else has: another machine, one
// that is being made at this moment, or the host.
func (d *draft) inUse() (faults []error) {
	say := func(format string, args ...any) { faults = append(faults, fault.Permanent(format, args...)) }
	for _, name := range []string{d.dir, filepath.Join(d.o.Service, "uml-"+d.Name)} {
		if _, err := os.Lstat(name); err == nil {
			say("%s: is there already", name)
		}
	}
	if d.ownAccount || d.renames != nil && d.Account == d.renames.m.User.Name {
		// it stays as it is
	} else if u, err := user.Lookup(d.Account); err == nil {
		say("account %q is there already (user id %s, home %s; --account names another)", d.Account, u.Uid, u.HomeDir)
	} else if g, err := user.LookupGroup(d.Account); err == nil {
		say("group %q is there already (id %s; --account names another)", d.Account, g.Gid)
	}
	if d.m == nil {
		return faults
	}
	for _, o := range d.o.others(d.root, d.Name) {
		if d.renames == nil || o.Name != d.renames.name {
			faults = append(faults, d.compare(o)...)
		}
	}
	if _, err := os.Lstat("/sys/class/net/" + d.m.TAP); err == nil && d.m.Net.Kind != settings.None && (d.renames == nil || d.m.TAP != d.renames.m.TAP) {
		say("interface %s is there already (choose another TAP: --set tap=NAME)", d.m.TAP)
	}
	if d.renames != nil {
		return faults
	}
	return append(faults, d.onHost()...)
}

// others are all machines but one, and those that are being made, as far as their settings can be
// read.
func (o Options) others(root, but string) (all []*settings.Machine) {
	names, _ := settings.Machines(root)
	accounts := &settings.Accounts{}
	for _, name := range names {
		if name == but {
			continue
		}
		dir, err := handle.OpenDir(filepath.Join(root, name))
		if err != nil {
			continue
		}
		if m, _ := accounts.Read(dir); m != nil {
			all = append(all, m)
		}
		dir.Close()
	}
	for _, s := range staged(root) {
		if s == but {
			continue
		}
		n, err := readNote(filepath.Join(root, staging, s))
		if err != nil || n.Settings == nil {
			continue
		}
		if m, _ := settings.Draft(filepath.Join(root, s), settings.Account{Name: n.Account, UID: -1}, n.Settings); m != nil {
			all = append(all, m)
		}
	}
	return all
}

func (d *draft) compare(o *settings.Machine) (faults []error) {
	say := func(format string, args ...any) { faults = append(faults, fault.Permanent(format, args...)) }
	if o.User.Name == d.Account {
		say("account %q: machine %s has it", d.Account, o.Name)
	}
	if d.m.Net.Kind == settings.None || o.Net.Kind == settings.None {
		return faults
	}
	if d.m.TAP == o.TAP && o.TAP != "" && o.User.UID > 0 {
		say("TAP %s: machine %s has it (choose another: --set tap=NAME)", o.TAP, o.Name)
	}
	if d.m.MAC.String() == o.MAC.String() {
		say("hardware address %s: machine %s has it (choose another: --set mac=ADDRESS)", o.MAC, o.Name)
	}
	mine, others := d.m.Claimed(), o.Claimed()
	for _, p := range mine {
		for _, q := range others {
			if p.Overlaps(q) {
				say("%s: machine %s has %s", plain(p), o.Name, plain(q))
				break
			}
		}
	}
	return faults
}

func plain(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// onHost asks the host's kernel: it knows its own addresses, its router, and what is routed to
// the TAPs of other machines roots.
func (d *draft) onHost() []error {
	if d.m.Net.Kind == settings.None {
		return nil
	}
	h, err := settings.ReadHost(d.o.HostDir)
	if err != nil {
		return fault.Parts(err)
	}
	if d.m.Net.Kind == settings.Bridged {
		if _, err := os.Stat("/sys/class/net/" + d.m.Net.Bridge + "/bridge"); errors.Is(err, os.ErrNotExist) {
			return []error{fault.Permanent("%q is no bridge of this host", d.m.Net.Bridge)}
		}
	}
	if err := netsetup.Foreign(d.m, h); err != nil {
		return fault.Parts(err)
	}
	return nil
}

// roomFor says whether the filesystem has room for as much to be copied, and a margin for what the
// appliance and the host write.
func (d *draft) roomFor(copied int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(d.root, &fs); err != nil {
		return fmt.Errorf("%s: %w", d.root, err)
	}
	if fs.Type == unix.BTRFS_SUPER_MAGIC || fs.Type == unix.XFS_SUPER_MAGIC { // they share what is copied
		copied = 0
	}
	need := copied + margin
	if have := int64(fs.Bavail) * fs.Bsize; have < need {
		return fault.NoRoom.Temporary("%s: has %d MiB left, and this takes %d", d.root, have>>20, need>>20)
	}
	if fs.Files > 0 && fs.Ffree < 100 {
		return fault.NoRoom.Temporary("%s: has room for %d files more, and this takes some", d.root, fs.Ffree)
	}
	return nil
}

const margin = 16 << 20 // bytes
