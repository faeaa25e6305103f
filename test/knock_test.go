package test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/packet"
	"uml/test/lab"
)

// A knocker speaks with uml-shelld as an account of the lab, without uml-shell: as
// one could who had broken out of it, or of the guest.
type knocker struct {
	t *testing.T
	l *lab.Lab
}

// says sends a packet as the account, at the rate that it has, and returns the whole
// answer, which has to come soon; fds is how many descriptors came with it.
func (k *knocker) says(uid int, text string, send ...int) (answer string, fds int) {
	k.t.Helper()
	k.l.Wait("an account's turn", func() bool {
		sock, err := k.l.Connect(uid)
		if err != nil {
			answer = err.Error()
			return true
		}
		defer unix.Close(sock)
		if err := packet.Send(sock, []byte(text), send, 0); err != nil {
			answer = err.Error() + " "
		}
		more, got := whole(sock, 20*time.Second)
		answer, fds = answer+more, got
		if strings.Contains(answer, "too many requests") {
			answer = ""
			time.Sleep(200 * time.Millisecond)
			return false
		}
		return true
	})
	return answer, fds
}

// whole is all that comes until the end, or descriptors do: with these the service
// waits until they are taken.
func whole(sock int, patience time.Duration) (answer string, fds int) {
	unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)})
	b := make([]byte, 256<<10)
	for {
		n, some, err := packet.Receive(sock, b, 0)
		packet.Close(some)
		fds += len(some)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return answer + "HANGS", fds
		case err != nil:
			return answer + err.Error(), fds
		case n == 0:
			return answer, fds
		}
		answer += string(b[:n])
		if fds > 0 {
			return answer, fds
		}
	}
}
