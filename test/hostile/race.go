package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// race changes the jail in its working directory without pause until it is
// killed: every name that a start looks at is, now and then, something else.
// Outside is a directory that only root can enter, so each link to it is bait.
//
// One thing is changed at a time, again and again for some milliseconds, and then
// what no start looks at for as long: so starts meet a change in the middle of
// their work, and yet some of them come through.
func race(args []string) error {
	if len(args) < 1 {
		return errors.New("race OUTSIDE [MOVE...]")
	}
	outside := args[0]
	for name, to := range map[string]string{
		"linux": "/linux", "ubd0": "/disc", "swap": "/swap", "uml": "/dir", "d": "/dir", ".swap.new": "/new", "uml/guest": "/dir",
	} {
		os.Mkdir("uml", 0o700)
		if err := os.Symlink(outside+to, name+".bait"); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := unix.Mkfifo("fifo", 0o666); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	fmt.Println("racing")
	moves := chosen(args[1:])
	for {
		move := moves[rand.IntN(len(moves))]
		for range 200 + rand.IntN(4000) {
			move()
		}
		for range rand.IntN(8000) {
			elsewhere()
		}
	}
}

// chosen are the moves with these names; all without any.
func chosen(names []string) (moves []func()) {
	all := map[string][]func(){
		"exchange": exchanges(), "swap": {halfSwap}, "rest": {links, modes, sizes, leases, noSwap, noUml, umid},
	}
	for name, some := range all {
		if len(names) == 0 || slices.Contains(names, name) {
			moves = append(moves, some...)
		}
	}
	return moves
}

// exchanges are moves that swap a name and another one: there is no moment in
// which the name is not there. The errors of moves are left alone, since what one
// makes a start may remove.
func exchanges() (all []func()) {
	for _, pair := range [][2]string{
		{"linux", "linux.bait"}, {"ubd0", "ubd0.bait"}, {"d", "d.bait"}, {"swap", "swap.bait"}, {"uml", "uml.bait"},
		{"ubd0", "fifo"}, {"linux", "uml"}, {"ubd0", "linux"},
	} {
		all = append(all, func() { exchange(pair[0], pair[1]); exchange(pair[0], pair[1]) })
	}
	return all
}

func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

func elsewhere() {
	os.Link("fifo", "fifo.second")
	os.Remove("fifo.second")
}

func links() {
	os.Link("ubd0", "second")
	os.Remove("second")
}

func modes() {
	for _, name := range []string{"ubd0", "linux", "swap", "d"} {
		os.Chmod(name, 0)
		os.Chmod(name, 0o6777)
		os.Chmod(name, 0o755)
	}
}

func sizes() {
	st, err := os.Stat("ubd0")
	if err == nil && os.Truncate("ubd0", 0) == nil {
		os.Truncate("ubd0", max(st.Size(), 1<<20))
	}
}

func leases() {
	fd, err := unix.Open("ubd0", unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
}

func noSwap() { os.Remove("swap") }

// halfSwap puts a link where the swap is made.
func halfSwap() {
	os.Remove("swap")
	os.Link(".swap.new.bait", ".swap.new")
	os.Remove(".swap.new")
	os.Link("swap.bait", "swap")
	os.Remove("swap")
}

func noUml() {
	os.Rename("uml", "uml.away")
	os.Rename("uml.away", "uml")
}

func umid() {
	os.Link("uml/guest.bait", "uml/guest")
	os.Remove("uml/guest")
	os.Mkdir("uml/guest", 0o700)
	os.Link("uml/guest.bait", "uml/guest/pid")
	os.Remove("uml/guest/pid")
	os.Remove("uml/guest/hostile") // of a program that looked around
	os.Remove("uml/guest")
}
