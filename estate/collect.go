package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"uml/appliance"
	"uml/cgroup"
	"uml/fault"
	"uml/runscript"
	"uml/settings"
)

// Collect removes what interrupted ones have left: half-made machines with the accounts that were
// made for them, machines that were being removed, notes of what was just done, control groups of guests that are gone. What another is at
// work on is left alone. It prints what it did, nothing if nothing was amiss.
//
// With older, what moves to other hosts have kept here, and what moves from others have left, goes
// too, if nothing was done to it for so long.
func Collect(ctx context.Context, o Options, older *time.Duration) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if !o.DryRun {
		appliance.Sweep()
	}
	faults := []error{o.notes(root), o.keptOnes(ctx, root, older), o.groups(root)}
	if _, err := os.Lstat(filepath.Join(root, staging)); errors.Is(err, os.ErrNotExist) {
		return errors.Join(faults...)
	}
	all, err := holdStaging(root)
	if err != nil {
		return err
	}
	defer all.Close()
	if err := letGo(root); err != nil {
		faults = append(faults, err)
	}
	for _, name := range staged(root) {
		s, err := find(root, name)
		if errors.Is(err, errBusy) {
			continue
		}
		if s == nil || err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, o.collect(ctx, s, older))
	}
	return errors.Join(faults...)
}

// letGo lets go of all names that a killed uml-machine held.
func letGo(root string) error {
	entries, err := os.ReadDir(filepath.Join(root, staging))
	faults := []error{err}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "."); ok && settings.CheckName(name) == nil {
			faults = append(faults, forget(root, name))
		}
	}
	return errors.Join(faults...)
}

func (o Options) collect(ctx context.Context, s *stage, older *time.Duration) error {
	what := "remove "
	if s.note.Move != "" {
		if _, err := o.taken(s.root, s.note.Move); !errors.Is(err, os.ErrNotExist) {
			return o.collectTaken(s, err)
		}
	}
	if s.note.Move != "" && !old(filepath.Join(s.dir, noteName), older) {
		return s.lock.Close() // the other host may go on with it
	}
	if s.note.From != "" {
		what = "end the rename of " + s.note.From + ", remove "
	}
	where := s.dir
	if o.DryRun {
		s.lock.Close()
	} else if err := o.undo(ctx, s); err != nil {
		return err
	}
	_, err := fmt.Fprintln(o.Out, what+where)
	return err
}

// collectTaken is for one of which this host has said that it is its own: the other has nothing
// more, perhaps, and it only has to be moved to its place.
func (o Options) collectTaken(s *stage, err error) error {
	if err == nil && !o.DryRun {
		err = s.settle()
	}
	if !s.settled() {
		s.lock.Close()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "end the move of %s from %s (there: uml-machine move, again; here: uml-ctl activate %s)\n", s.name, s.note.Host, s.name)
	return err
}

// groups are the control groups of guests that are no machines any more. One that is down
// keeps its own, which costs nothing.
func (o Options) groups(root string) error {
	names, err := settings.Machines(root)
	if err != nil {
		return err
	}
	removed, err := cgroup.Collect(func(m string) bool { return !slices.Contains(names, m) }, o.DryRun)
	for _, g := range removed {
		fmt.Fprintln(o.Out, "remove "+fault.Line(g)) // to whom a part of the hierarchy was delegated he names it
	}
	return err
}

// old says whether a file was not changed for so long.
func old(file string, older *time.Duration) bool {
	st, err := os.Lstat(file)
	return err == nil && older != nil && time.Since(st.ModTime()) >= *older
}

// keptOnes are machines that were moved to other hosts: an account that is left goes, and those
// that are older. They are kept by the time at which they were moved.
func (o Options) keptOnes(ctx context.Context, root string, older *time.Duration) error {
	all, err := filepath.Glob(filepath.Join(root, kept, "*"+movedMark+"*"))
	var faults []error
	for _, dir := range all {
		if !o.DryRun {
			if err := o.leftAccount(ctx, root, dir); err != nil {
				faults = append(faults, err)
				continue
			}
		}
		if !old(filepath.Join(dir, runscript.MovedTo), older) {
			continue
		}
		if !o.DryRun {
			if err := os.RemoveAll(dir); err != nil {
				faults = append(faults, err)
				continue
			}
		}
		fmt.Fprintln(o.Out, "remove "+dir)
	}
	return errors.Join(append(faults, err)...)
}

// leftAccount removes the account of one whose move was interrupted in its last step.
func (o Options) leftAccount(ctx context.Context, root, dir string) error {
	n, err := readNote(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s := &stage{root: root, dir: dir, note: n}
	base := filepath.Base(dir)
	if s.lock, err = holdName(root, base[:strings.LastIndex(base, movedMark)]); err != nil {
		return ignore(err, errBusy)
	}
	defer s.lock.Close()
	if _, err := os.Lstat(n.Home); err == nil {
		s.note.Account = "" // a new machine has it: it came back
	}
	return s.leaveAccount(ctx)
}

// notes that are in machines are of no use: either all was done but to remove it, or nothing.
func (o Options) notes(root string) error {
	names, err := settings.Machines(root)
	if err != nil {
		return err
	}
	var faults []error
	for _, name := range names {
		file := filepath.Join(root, name, noteName)
		if _, err := os.Lstat(file); err != nil {
			continue
		}
		l, err := holdName(root, name)
		if errors.Is(err, errBusy) {
			continue
		}
		if err == nil && !o.DryRun {
			err = os.Remove(file)
		}
		if err == nil {
			fmt.Fprintln(o.Out, "remove "+file)
		}
		if l != nil {
			l.Close()
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
