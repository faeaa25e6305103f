package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// Pack fills the passport, and opens the files.
func (l *Leaving) Pack(ctx context.Context) error {
	p := l.p
	texts, err := settings.Texts(p.at, "settings")
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
