package shell

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/packet"
	"uml/request"
)

func (s *session) log(ctx context.Context, c *command, args []string) error {
	r := request.Request{Act: request.Log, Lines: 20}
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-f" && !r.Follow:
			r.Follow = true
		case args[i] == "-n" && i+1 < len(args):
			n, err := number(args[i+1])
			if err != nil {
				return err
			}
			r.Lines = n
			i++
		default:
			return c.usage()
		}
	}
	ctx, cancel := s.heard(ctx)
	defer cancel()
	f, err := s.openLog(ctx, r)
	if err != nil {
		return err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	_, err = io.Copy(s.out, f)
	if errors.Is(err, os.ErrClosed) { // the interrupt is how one that is followed ends
		return nil
	}
	return err
}

// heard ends what waits without end when nobody reads the output any more: without a
// terminal sshd tells of a lost connection by nothing else, and each that waits is one
// of the few connections that an account has to the service.
func (s *session) heard(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if !s.terminal {
		go func() {
			defer cancel()
			fds := []unix.PollFd{{Fd: 1}} // hang-ups are said unasked
			for ctx.Err() == nil && fds[0].Revents == 0 {
				unix.Poll(fds, 1000)
			}
		}()
	}
	return ctx, cancel
}

// openLog is a pipe that the log comes through, as lines of plain text.
func (s *session) openLog(ctx context.Context, r request.Request) (*os.File, error) {
	_, fds, err := s.request(ctx, r, func(string) {})
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		packet.Close(fds)
		return nil, fault.Temporary("%s: gave %d descriptors of the log, not one", s.socket, len(fds))
	}
	unix.SetNonblock(fds[0], true) // so that to close it ends a read
	return os.NewFile(uintptr(fds[0]), "log"), nil
}
