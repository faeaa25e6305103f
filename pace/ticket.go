package pace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"uml/process"
)

// A ticket is a place in the queue. The names of tickets are in its order:
// "wait.49.000000e8d4a51000.1234": 99 less the priority, nanoseconds of the host's clock,
// process. Its owner has the file locked.
type ticket struct {
	name string
	pid  int
	f    *os.File
}

const waits = "wait."

func ticketName(priority int, arrived time.Duration, pid int) string {
	return fmt.Sprintf("%s%02d.%016x.%d", waits, 99-priority, int64(arrived), pid)
}

// parseTicket is the process of a ticket by its name; 0 if it is none.
func parseTicket(name string) (pid int) {
	var last, arrived int64
	n, err := fmt.Sscanf(name, waits+"%02d.%016x.%d", &last, &arrived, &pid)
	if err != nil || n != 3 || pid <= 0 || last < 0 || last > 99 || name != ticketName(99-int(last), time.Duration(arrived), pid) {
		return 0
	}
	return pid
}

// now is the host's clock.
func now() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// write makes the ticket, under the directory's lock.
func (d *directory) write(name string) (*os.File, error) {
	f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// live opens another's ticket if he lives and was not stopped (SIGSTOP, svc -p): who is
// not seen here is passed by. It removes that of a dead one, under the directory's lock.
func (d *directory) live(name string) (*ticket, error) {
	pid := parseTicket(name)
	if pid == 0 { // nobody's that could be looked for
		return nil, d.Remove(name)
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) && !stopped(pid) {
		return &ticket{name, pid, f}, nil
	}
	f.Close()
	if err == nil {
		return nil, d.Remove(name)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return nil, err
}

// lookAside is how often who waits for another looks whether that one was stopped.
const lookAside = 10 * time.Second

// wait is until the ticket's owner has gone, one way or the other. It closes the ticket.
func (t *ticket) wait(ctx context.Context) error {
	gone := make(chan error, 1)
	go func() {
		err := locked(ctx, t.f, unix.LOCK_SH)
		t.f.Close()
		gone <- err
	}()
	tick := time.NewTicker(lookAside)
	defer tick.Stop()
	for {
		select {
		case err := <-gone:
			return err
		case <-tick.C:
			if stopped(t.pid) {
				return nil
			}
		}
	}
}

func stopped(pid int) bool {
	p, err := process.Look(pid)
	return err == nil && (p.State == 'T' || p.State == 't')
}
