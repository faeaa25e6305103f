package desk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/logdir"
)

// log gives the asker a pipe and writes the guest's log into it, for as long as he
// reads. The log is its logger's, and what it says the guest's word: it is made plain.
func (k *ask) log() (outcome, error) {
	dir, err := logdir.Of(k.a.real)
	if err != nil {
		return outcome{}, err
	}
	if err := k.a.still(); err != nil {
		return outcome{}, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return outcome{}, fmt.Errorf("make a pipe: %w", err)
	}
	unix.SetNonblock(pipe[1], true) // so that who does not read holds no thread
	to := os.NewFile(uintptr(pipe[1]), "pipe")
	print := func() error { return logdir.Tail(to, dir, k.r.Lines) }
	if k.r.Follow {
		print = func() error { return logdir.Poll(to, dir, k.r.Lines) }
	}
	return outcome{fds: pipe[:1], after: func() string {
		defer to.Close()
		if err := print(); err != nil && !errors.Is(err, unix.EPIPE) {
			return "failed: " + err.Error()
		}
		return "done"
	}}, nil
}
