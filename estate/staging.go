package estate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/runscript"
	"uml/settings"
)

// staging is where machines are made and taken apart, in the machines root.
const staging = runscript.Staging

// noteName is beside what is made: it stays in the machine until all is done.
const noteName = runscript.StagingNote

// A note says what is under way in a directory of staging, for who finds it there with nobody at
// work. It is on the disc before that begins.
type note struct {
	Account  string            // that was made for it, or is to go with it; "": none
	Home     string            // by which the account is known to be that one
	User     string            // the account that its appliance runs as
	Settings map[string]string `json:",omitempty"` // what it claims, of one that is made
	From     string            `json:",omitempty"` // the machine whose discs are here for a while (rename)
	Move     string            `json:",omitempty"` // by which it comes from another host, and
	Host     string            `json:",omitempty"` // from which;
	Ready    bool              `json:",omitempty"` // it is whole, but for being taken
}

// A stage is one's directory of staging, locked.
type stage struct {
	root, name string
	dir        string
	lock       *hold // of the name
	note       note
}

// staged are the names in staging.
func staged(root string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(root, staging))
	for _, e := range entries {
		if e.IsDir() && settings.CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names
}

// claim takes the name. What is left there from before is removed first; check is asked then,
// while no other can claim anything.
func (o Options) claim(ctx context.Context, root, name string, n note, check func() error) (*stage, error) {
	all, err := holdStaging(root)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := o.clear(ctx, root, name); err != nil {
		return nil, err
	}
	if err := check(); err != nil {
		return nil, err
	}
	s := &stage{root: root, name: name, dir: filepath.Join(root, staging, name), note: n}
	if s.lock, err = holdName(root, name); err != nil {
		return nil, err
	}
	if err = os.Mkdir(s.dir, 0o755); err == nil {
		err = errors.Join(os.Chmod(s.dir, 0o755), s.write())
	}
	if err != nil {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

// clear removes what an interrupted one has left under a name.
func (o Options) clear(ctx context.Context, root, name string) error {
	dir := filepath.Join(root, staging, name)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s, err := find(root, name)
	if s == nil || err != nil {
		return err
	}
	if s.note.Move != "" {
		s.lock.Close()
		return fault.Permanent("%s is coming from %s (uml-machine move --abort there ends that, or uml-machine gc --older 0 here)", name, s.note.Host)
	}
	return o.undo(ctx, s)
}

// find is what was left under a name; nil if there is nothing.
func find(root, name string) (s *stage, err error) {
	s = &stage{root: root, name: name, dir: filepath.Join(root, staging, name)}
	there := func() bool { _, err := os.Lstat(s.dir); return !errors.Is(err, os.ErrNotExist) }
	if !there() {
		return nil, forget(root, name)
	}
	if s.lock, err = holdName(root, name); err != nil {
		return nil, err
	}
	if !there() { // meanwhile
		s.lock.Close()
		return nil, nil
	}
	s.note, err = readNote(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.lock.Close()
		return nil, err
	}
	return s, nil
}

// write puts the note on the disc.
func (s *stage) write() error {
	text, err := json.Marshal(s.note)
	if err != nil {
		return err
	}
	dir, err := handle.OpenDir(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Replace(noteName+".new", noteName, string(text)+"\n")
}

func readNote(dir string) (n note, err error) {
	text, err := os.ReadFile(filepath.Join(dir, noteName))
	if err == nil {
		err = json.Unmarshal(text, &n)
		if err != nil {
			err = fault.Permanent("%s: %w", filepath.Join(dir, noteName), err)
		}
	}
	return n, err
}

// undo takes everything back that was made, the account last but for the note that knows of it.
// It goes on whatever has ended the work.
func (o Options) undo(ctx context.Context, s *stage) error {
	ctx = context.WithoutCancel(ctx)
	defer s.lock.Close()
	if err := s.endAppliance(); err != nil {
		return err
	}
	if s.note.From != "" {
		if err := s.giveBack(); err != nil {
			return err
		}
	}
	at, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer at.Close()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == noteName {
			continue
		}
		if err := at.RemoveAll(e.Name()); err != nil {
			return fmt.Errorf("remove %s: %w", filepath.Join(s.dir, e.Name()), err)
		}
	}
	if s.note.Account != "" {
		if err := s.removeAccount(ctx); err != nil {
			return err
		}
	}
	if err := at.RemoveAll(noteName); err != nil {
		return err
	}
	if err := os.Remove(s.dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.dir))
}

// endAppliance ends what still works on the discs: the appliance of one that was killed.
func (s *stage) endAppliance() error {
	dir, err := handle.OpenDir(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	at, err := dir.Open(lock.Name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	at.Close()
	uid := -1
	if a, err := settings.FindAccount(s.note.User); err == nil && s.note.User != "" {
		uid = a.UID
	}
	signal := unix.SIGTERM
	for begun := time.Now(); time.Since(begun) < enough; time.Sleep(50 * time.Millisecond) {
		f, err := lock.Open(dir)
		if err != nil {
			return err
		}
		err = lock.Take(f, uid, func(string) {})
		f.Close()
		var held *lock.Held
		if !errors.As(err, &held) {
			return err
		}
		if time.Since(begun) > enough/2 {
			signal = unix.SIGKILL
		}
		if held.PID > 1 && held.Runs {
			end(held.PID, dir, signal)
		}
	}
	return fault.Temporary("%s: what works on it does not end", s.dir)
}

const enough = 10 * time.Second

// end signals a process, if that is still the one that has the lock.
func end(pid int, dir *handle.Dir, signal unix.Signal) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if h, err := lock.Taker(dir); err == nil && h != nil && h.PID == pid {
		unix.PidfdSendSignal(fd, signal, nil, 0)
	}
}

// settle moves what is whole to its place, and forgets how it came there.
func (s *stage) settle() error {
	to := filepath.Join(s.root, s.name)
	for _, dir := range []string{s.dir, filepath.Join(s.dir, "jail")} {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, s.dir, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return fault.Permanent("move %s to %s: %w", s.dir, to, err)
	}
	s.dir = to
	s.lock.Close()
	// It is made: what fails now is no fault of it, and a note that stays is removed by Collect.
	return errors.Join(syncDir(s.root), syncDir(filepath.Join(s.root, staging)), os.Remove(filepath.Join(to, noteName)))
}

// settled says whether it was moved to its place.
func (s *stage) settled() bool { return s.dir == filepath.Join(s.root, s.name) }

func syncDir(dir string) error {
	f, err := open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
