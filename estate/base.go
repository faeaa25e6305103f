package estate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/netsetup"
	"uml/settings"
	"uml/sparse"
	"uml/template"
)

// base is what a file of the host's is known by elsewhere: what is in it.
func (o Options) base(ctx context.Context, setting, file string) (*Base, error) {
	at, err := handle.Open(file)
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	defer at.Close()
	if err := at.Regular(); err != nil {
		return nil, err
	}
	b := &Base{Setting: setting, Path: file, Size: at.Stat.Size, Data: at.Stat.Blocks * 512}
	if t := o.templateAt(file); t != nil && t.Size == b.Size {
		b.SHA256, b.Template = t.SHA256, &t.Manifest
		return b, nil
	}
	b.SHA256, err = digest(ctx, at)
	return b, err
}

func digest(ctx context.Context, at *handle.File) (string, error) {
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return template.Digest(ctx, f, at.Stat.Size, nil)
}

// templateAt is the template of the store whose image this is; nil if it is none.
func (o Options) templateAt(file string) *template.Template {
	return o.findTemplate(func(t *template.Template) bool {
		real, err := filepath.EvalSymlinks(t.Image())
		return t.Image() == file || err == nil && real == file
	})
}

func (o Options) findTemplate(is func(*template.Template) bool) *template.Template {
	dir, err := filepath.Abs(o.Templates)
	if err != nil {
		return nil
	}
	store, err := template.Open(dir)
	if err != nil {
		return nil
	}
	all, _ := store.All()
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i]
	}
	return nil
}

// local is where this host has what is in a base of another; "" if nowhere.
func (o Options) local(ctx context.Context, b *Base) (string, error) {
	at, err := handle.Open(b.Path)
	if err == nil {
		defer at.Close()
		if at.Regular() == nil && at.Stat.Size == b.Size && at.RootsAlone() == nil && handle.Rooted(filepath.Dir(b.Path)) == nil {
			if t := o.templateAt(b.Path); t != nil && t.SHA256 == b.SHA256 {
				return b.Path, nil
			}
			if sum, err := digest(ctx, at); err != nil || sum == b.SHA256 {
				return b.Path, err
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if b.Setting == "kernel" {
		return o.localKernel(ctx, b)
	}
	if t := o.findTemplate(func(t *template.Template) bool { return t.SHA256 == b.SHA256 && t.Size == b.Size }); t != nil {
		return t.Image(), nil
	}
	return "", nil
}

// localKernel is one of the store of kernels with the same in it.
func (o Options) localKernel(ctx context.Context, b *Base) (string, error) {
	dir, err := filepath.Abs(o.Kernels)
	if err != nil {
		return "", err
	}
	all, _ := filepath.Glob(filepath.Join(dir, "*", "linux"))
	for _, file := range all {
		at, err := handle.Open(file)
		if err != nil {
			continue
		}
		sum := ""
		if at.Regular() == nil && at.Stat.Size == b.Size {
			sum, err = digest(ctx, at)
		}
		at.Close()
		if err != nil || sum == b.SHA256 {
			return file, err
		}
	}
	return "", nil
}

// segment are the prefixes of the interface on which a routed guest's addresses are published.
func segment(m *settings.Machine, h *settings.Host) (all []string) {
	if m.Net.Kind != settings.Routed {
		return nil
	}
	e, err := netsetup.External(h)
	if err != nil {
		return nil
	}
	i, err := net.InterfaceByIndex(e.Index)
	if err != nil {
		return nil
	}
	addresses, _ := i.Addrs()
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p.Masked().String())
		}
	}
	return all
}

// otherSegment says what a move between hosts that are not on one segment takes.
func (c *Coming) otherSegment(theirs []string) {
	ours := segment(c.d.m, c.host)
	if len(theirs) == 0 || slices.ContainsFunc(ours, func(p string) bool { return slices.Contains(theirs, p) }) {
		return
	}
	c.Notes = append(c.Notes, fmt.Sprintf("the external interfaces are not on one segment (%s there, %s here): somebody has to route the guest's addresses here (docs/routing.md)",
		strings.Join(theirs, " "), orNone(ours)))
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "no address"
	}
	return strings.Join(all, " ")
}

// received is a template that came with a machine. It has a name of its own, by what is in it:
// it must not become the newest of a name of which machines are made here.
func received(m template.Manifest, sum string) template.Manifest {
	m.Source = fmt.Sprintf("%s@%s of another host (%s)", m.Name, m.Stamp, m.Source)
	m.From = ""
	m.Name = "moved-" + sum[:16]
	return m
}

// store adds the image that was sent.
func (o Options) store(ctx context.Context, f *os.File, b *Base) (string, error) {
	sum, err := template.Digest(ctx, f, b.Size, nil)
	if err != nil {
		return "", err
	}
	if sum != b.SHA256 {
		return "", fault.Temporary("the template that was sent is not what was offered: its sha256 is %s", sum)
	}
	dir, err := filepath.Abs(o.Templates)
	if err != nil {
		return "", err
	}
	store, err := template.Make(dir)
	if err != nil {
		return "", err
	}
	held, err := store.Lock()
	if err != nil {
		return "", err
	}
	defer held.Close()
	m := received(*b.Template, b.SHA256)
	m.SHA256, m.Size = b.SHA256, b.Size
	if t, err := store.Find(m.Name); err == nil {
		return t.Image(), nil
	}
	file, err := into(ctx, store, f, b.Size, m.Name)
	if err != nil {
		return "", err
	}
	t, err := store.Add(file, m)
	if err != nil {
		return "", err
	}
	return t.Image(), nil
}

// into puts the image where the store makes templates: that it is on the same filesystem shows when
// it is moved.
func into(ctx context.Context, store *template.Store, f *os.File, size int64, name string) (string, error) {
	if err := ignore(os.Mkdir(store.Staging(), 0o700), os.ErrExist); err != nil {
		return "", err
	}
	file := filepath.Join(store.Staging(), name)
	err := errors.Join(f.Chmod(0o444), f.Sync())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if !errors.Is(err, unix.EXDEV) {
		return file, err
	}
	to, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer to.Close()
	if _, err := sparse.Clone(ctx, to, f, size, nil); err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return file, errors.Join(to.Chmod(0o444), to.Sync())
}

// comesTo is where the image of a base will be, once it was sent.
func (o Options) comesTo(b *Base) (string, error) {
	dir, err := filepath.Abs(o.Templates)
	if err != nil {
		return "", err
	}
	store, err := template.Open(dir)
	if err != nil {
		return "", err
	}
	return (&template.Template{Manifest: received(*b.Template, b.SHA256), Dir: store.Dir}).Image(), nil
}
