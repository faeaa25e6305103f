package estate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/settings"
)

// Ready does all that can fail, so that Take is one step: the templates that came, the headers of
// COW discs, owners, settings, log. Its files are the account's from then on: it is done once, and again only
// after Receive has taken them back.
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
