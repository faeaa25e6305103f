package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"uml/appliance"
	"uml/settings"
)

// Collect removes what interrupted ones have left: half-made machines with the accounts that were
// made for them, machines that were being removed, notes of what was just done. What another is at
// work on is left alone. It prints what it did, nothing if nothing was amiss.
func Collect(ctx context.Context, o Options) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if !o.DryRun {
		appliance.Sweep()
	}
	faults := []error{o.notes(root)}
	if _, err := os.Lstat(filepath.Join(root, staging)); errors.Is(err, os.ErrNotExist) {
		return errors.Join(faults...)
	}
	all, err := hold(filepath.Join(root, staging), true)
	if err != nil {
		return err
	}
	defer all.Close()
	for _, name := range staged(root) {
		s, err := find(root, name)
		if errors.Is(err, errBusy) {
			continue
		}
		if s == nil || err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, o.collect(ctx, s))
	}
	return errors.Join(faults...)
}

func (o Options) collect(ctx context.Context, s *stage) error {
	what := "remove "
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
		f, err := open(filepath.Dir(file))
		if err == nil {
			err = flock(f, false)
		}
		if errors.Is(err, errBusy) {
			continue
		}
		if err == nil && !o.DryRun {
			err = os.Remove(file)
		}
		if err == nil {
			fmt.Fprintln(o.Out, "remove "+file)
		}
		f.Close()
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
