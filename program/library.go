package program

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Library is a file that a program needs beside itself.
type Library struct {
	Path string // on the host: absolute, without links, root's all the way
	Jail string // where the program's dynamic linker looks for it, without ld.so.cache
}

// maxLibraries bounds what a hostile image may ask for; a kernel needs one or two.
const maxLibraries = 128

// Libraries finds the dynamic linker and every library that p needs, and that
// these need, each once, in the order in which ld.so(8) loads them; none for a
// static program. It looks in the program's own RUNPATH or RPATH, then in
// the directories that ld.so has built in, not in LD_LIBRARY_PATH, ld.so.cache and glibc-hwcaps, since the
// jail has none of them. A relative directory and one with $ORIGIN, $LIB or
// $PLATFORM are passed over.
//
// The image may belong to a guest's user and name any file of the host. So each
// must be root's, and nobody else able to replace it or a directory above it:
// Path may be opened later without another look. And what the calling thread
// cannot read is refused: call it with that user's rights (handle.As), or it
// shows him what lies in root's own directories. Faults name the library.
func (p *Program) Libraries() ([]Library, error) {
	if p.Interp == "" {
		return nil, nil
	}
	s := &search{}
	if err := s.linker(p.Interp); err != nil {
		return nil, err
	}
	s.push(p, nil)
	for ; len(s.queue) > 0; s.queue = s.queue[1:] {
		for _, name := range s.queue[0].Needed {
			if err := s.need(name, s.queue[0]); err != nil {
				return nil, err
			}
		}
	}
	return s.found, nil
}

// A search goes breadth first, as ld.so does: who needs a library first decides
// where it is looked for.
type search struct {
	found []Library
	names []string // what was found, as it was needed
	queue []object // whose needs are still to be met
}

// An object is a program with the DT_RPATH of all those that brought it here.
type object struct {
	*Program
	rpath []string
}

// linker adds the dynamic linker, which needs nothing and is also the library of
// its name.
func (s *search) linker(name string) error {
	if !path.IsAbs(name) || name != path.Clean(name) {
		return fault.Permanent("needs the dynamic linker %q, which is no plain absolute path", name)
	}
	_, err := s.add(path.Base(name), name)
	if errors.Is(err, unix.ENOENT) {
		return fault.Permanent("needs the dynamic linker %s, which is not there (install it, or link statically)", name)
	}
	return about("needs the dynamic linker "+name, err)
}

func (s *search) need(name string, by object) error {
	if slices.Contains(s.names, name) {
		return nil
	}
	if len(s.found) == maxLibraries {
		return fault.Permanent("needs more than %d libraries", maxLibraries)
	}
	for _, jail := range candidates(name, by) {
		p, err := s.add(name, jail)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			return about("needs "+name, err)
		}
		s.push(p, by.rpath)
		return nil
	}
	where := "not there"
	if !strings.Contains(name, "/") {
		where = "in none of " + strings.Join(dirs(by), ", ")
	}
	return fault.Permanent("needs the library %s, which is %s (install it, or link statically)", name, where)
}

func (s *search) add(name, jail string) (*Program, error) {
	real, p, err := open(jail)
	if err != nil {
		return nil, err
	}
	s.found = append(s.found, Library{Path: real, Jail: jail})
	s.names = append(s.names, name)
	return p, nil
}

// push queues p. DT_RPATH counts only without DT_RUNPATH.
func (s *search) push(p *Program, inherited []string) {
	o := object{p, inherited}
	if p.RunPath == nil {
		o.rpath = slices.Concat(p.RPath, inherited)
	}
	s.queue = append(s.queue, o)
}

// about says in which matter err arose, and keeps whether it may pass.
func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
