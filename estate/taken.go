package estate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"uml/fault"
	"uml/settings"
)

// records are the moves by which machines were taken, in the machines root: what another host asks
// after years must have an answer.
const records = ".moves"

// Take makes it this host's, by one step, and says so for ever after. What fails later is a note.
func (o Options) Take(ctx context.Context, name, move string, activate bool) (notes []string, err error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(settings.CheckName(name), checkMove(move)); err != nil {
		return nil, fault.Permanent("%w", err)
	}
	s, err := find(root, name)
	if err != nil {
		return nil, err
	}
	if s == nil || s.note.Move != move {
		if s != nil {
			s.lock.Close()
		}
		if was, err := o.taken(root, move); err == nil && was == name {
			return o.startHere(root, name, move, activate)
		}
		return nil, fault.Permanent("there is no such move of %s here: it was given up", name)
	}
	if !s.note.Ready {
		s.lock.Close()
		return nil, fault.Permanent("%s is not whole here", name)
	}
	to := filepath.Join(root, name)
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) { // it can still be given up
		s.lock.Close()
		return nil, errors.Join(err, fault.Permanent("%s: is there already (move it away, and say it again)", to))
	}
	if err := o.record(root, name, move); err != nil {
		s.lock.Close()
		return nil, err
	}
	// The note goes only when it is a machine, and the record is there: settle.
	if err := s.settle(); !s.settled() {
		s.lock.Close()
		return nil, err
	} else if err != nil {
		notes = append(notes, fault.Line(err.Error()))
	}
	more, err := o.startHere(root, name, move, activate)
	return append(notes, more...), err
}

// startHere activates what was taken; that it fails does not make it the other host's again.
func (o Options) startHere(root, name, move string, activate bool) (notes []string, err error) {
	if _, err := os.Lstat(filepath.Join(root, name)); err != nil || !activate || o.activated(root, move) {
		return nil, nil // it may have gone on already, or be down again by somebody's will
	}
	d := &draft{Spec: Spec{Name: name}, o: o, root: root, dir: filepath.Join(root, name)}
	if err := d.activate(); err != nil {
		return []string{"not activated: " + fault.Line(err.Error()) + " (try there: uml-ctl activate " + name + ")"}, nil
	}
	return nil, o.record(root, name+activatedMark, move)
}

// activatedMark is in the record of a move whose machine was activated: who says "take" again does
// not activate it again.
const activatedMark = "\nactivated"

func (o Options) activated(root, move string) bool {
	text, _ := os.ReadFile(filepath.Join(root, records, move))
	return strings.HasSuffix(string(text), activatedMark+"\n")
}

// record notes that the move's machine was taken; it is on the disc before it is.
func (o Options) record(root, name, move string) error {
	dir := filepath.Join(root, records)
	if err := ignore(os.Mkdir(dir, 0o700), os.ErrExist); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, move+".new"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(name + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), filepath.Join(dir, move)), syncDir(dir), syncDir(root))
}

// taken is the machine that a move has brought here.
func (o Options) taken(root, move string) (name string, err error) {
	text, err := os.ReadFile(filepath.Join(root, records, filepath.Base(move)))
	name, _, _ = strings.Cut(string(text), "\n")
	return name, err
}

// Drop gives up a machine that has not been taken: from then on it cannot be. One that was taken is
// ErrTaken.
func (o Options) Drop(ctx context.Context, name, move string) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	if err := errors.Join(settings.CheckName(name), checkMove(move)); err != nil {
		return fault.Permanent("%w", err)
	}
	s, err := find(root, name)
	if err != nil {
		return err
	}
	if _, err := o.taken(root, move); !errors.Is(err, fs.ErrNotExist) {
		if s != nil {
			s.lock.Close()
		}
		if err == nil {
			err = fault.Permanent("%w", ErrTaken)
		}
		return err
	}
	if s == nil || s.note.Move != move {
		if s != nil {
			s.lock.Close()
		}
		return nil
	}
	return o.undo(ctx, s)
}

// ErrTaken is why a move cannot be taken back.
var ErrTaken = errors.New("the guest was taken there")
