package kernels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/initramfs"
	"uml/kernel"
)

// maxImage bounds an image. Debian's is 10 MB, one with everything in it 100.
const maxImage = 1 << 30

// Add puts a kernel into the store: a file, or a package, with the modules that are in a
// directory which has one for each release; "" are those of the package. All of it or nothing: what
// one that was killed has left is removed by the next. The first becomes the default.
func (s *Store) Add(ctx context.Context, from, modules, name string, say func(string)) (*Manifest, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	work := filepath.Join(s.Dir, newName)
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(s.Dir, name)); err == nil {
		return nil, fault.AlreadyThere.Permanent("%s: is there already (take another name: guests may run it)", filepath.Join(s.Dir, name))
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return nil, err
	}
	m, err := s.make(ctx, from, modules, name, work, say)
	if err := errors.Join(err, os.RemoveAll(work)); err != nil {
		return nil, room(err)
	}
	if first, err := s.Default(); err != nil || first != "" {
		return m, err
	}
	say(name + " is the default, since it is the only one")
	return m, s.SetDefault(name)
}

func (s *Store) make(ctx context.Context, from, modules, name, work string, say func(string)) (*Manifest, error) {
	src, err := find(ctx, from, work)
	if err != nil {
		return nil, err
	}
	defer src.image.Close()
	if modules != "" {
		src.modules = modules
	}
	out := filepath.Join(work, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	m := &Manifest{Name: name, Made: time.Now().UTC().Truncate(time.Second), Source: src.label}
	if err := m.takeImage(src.image, filepath.Join(out, imageName)); err != nil {
		return nil, err
	}
	if src.modules != "" {
		if err := m.takeModules(ctx, filepath.Join(src.modules, m.Release), work, out); err != nil {
			return nil, err
		}
	} else if dir := filepath.Join("/usr/lib/uml/modules", m.Release); isDir(dir) {
		say(fmt.Sprintf("no modules are added; if those in %s are this kernel's: --modules %s", dir, filepath.Dir(dir)))
	}
	if m.Initrd {
		if err := m.writeInitrd(filepath.Join(work, treeName, m.Release), filepath.Join(out, initrdName)); err != nil {
			return nil, err
		}
	} else {
		say("warning: it takes no initrd= (CONFIG_BLK_DEV_INITRD): a guest has only those modules that are in its own root")
	}
	if err := write(filepath.Join(out, manifestName), m.text()); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := errors.Join(syncDir(out), os.Rename(out, filepath.Join(s.Dir, name))); err != nil {
		return nil, err
	}
	return m, syncDir(s.Dir)
}

// takeImage copies the image, and judges the copy.
func (m *Manifest) takeImage(from *os.File, to string) error {
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if m.Size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(from, maxImage+1)); err != nil {
		return err
	}
	if m.Size > maxImage {
		return fault.Permanent("%s: is larger than %d bytes", from.Name(), maxImage)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	i, err := kernel.Inspect(f)
	if err == nil {
		err = m.describe(i)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", from.Name(), err)
	}
	return errors.Join(f.Chmod(0o555), f.Sync())
}

func (m *Manifest) takeModules(ctx context.Context, from, work, out string) error {
	dir := filepath.Join(work, treeName)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	t, err := copyTree(from, dir, m.Release)
	if err != nil {
		return err
	}
	if t.modules == 0 {
		return nil
	}
	m.Modules = t.modules
	return makeModules(ctx, t, filepath.Join(out, modulesName))
}

// early are the modules that a guest needs before it can load any: its network's. The
// filesystem of its root the kernel has always had to have built in.
var early = []string{"ipv6"}

// writeInitrd: what the kernel has built in, or has not at all, is none of its modules.
func (m *Manifest) writeInitrd(modules, to string) error {
	o := initramfs.Options{Plain: true}
	var err error
	if o.Init, err = initramfs.Find(initramfs.OverlayInit); err != nil {
		return err
	}
	if m.Modules > 0 {
		for _, name := range early {
			files, err := initramfs.Modules(modules, name)
			if errors.Is(err, initramfs.ErrNone) {
				continue
			}
			if err != nil {
				return err
			}
			for _, f := range files {
				if !slices.Contains(o.Modules, f) {
					o.Modules = append(o.Modules, f)
				}
			}
			m.Early = append(m.Early, name)
		}
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	return errors.Join(initramfs.Write(f, o), f.Chmod(0o444), f.Sync(), f.Close())
}

func write(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(0o444), f.Sync(), f.Close())
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// room: a full filesystem may be less full later.
func room(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Temporary("%w; nothing was added", err)
	}
	return err
}
