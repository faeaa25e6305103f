package shell

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// script obeys the lines of fd, that nobody types, to the first that fails.
func (s *session) script(ctx context.Context, fd int) error {
	for {
		line, more, err := readLine(fd)
		if err == nil {
			err = s.obey(ctx, line)
		}
		if err != nil || !more {
			return err
		}
	}
}

// readLine reads one, byte by byte: what comes after it is for what it starts.
func readLine(fd int) (line string, more bool, err error) {
	var b []byte
	for {
		var in [1]byte
		n, err := unix.Read(fd, in[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		case err != nil:
			return "", false, fault.Temporary("read a command: %w", err)
		case n == 0:
			return string(b), false, nil
		case in[0] == '\n':
			if n := len(b); n > 0 && b[n-1] == '\r' {
				b = b[:n-1]
			}
			return string(b), true, nil
		case len(b) > maxKeyLine:
			return "", false, tooLong(maxKeyLine)
		default:
			b = append(b, in[0])
		}
	}
}
