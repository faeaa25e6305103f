package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Collect removes what interrupted ones have left: half-made machines with the accounts that were
// made for them. What another is at work on is left alone. It prints what it did, nothing if
// nothing was amiss.
func Collect(ctx context.Context, o Options) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(root, staging)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	all, err := hold(filepath.Join(root, staging), true)
	if err != nil {
		return err
	}
	defer all.Close()
	var faults []error
	for _, name := range staged(root) {
		s, err := find(root, name)
		if s == nil || err != nil {
			faults = append(faults, err)
			continue
		}
		what := "remove"
		if s.note.From != "" {
			what = "give its discs back to " + s.note.From + ", and remove"
		}
		if o.DryRun {
			fmt.Fprintf(o.Out, "%s %s\n", what, s.dir)
			s.lock.Close()
			continue
		}
		if err := o.undo(ctx, s); err != nil {
			faults = append(faults, err)
			continue
		}
		fmt.Fprintf(o.Out, "%s %s\n", what, s.dir)
	}
	return errors.Join(faults...)
}

// giveBack is what undo does first of a rename that was interrupted.
func (s *stage) giveBack() error { return errors.New("is still to be written") }
