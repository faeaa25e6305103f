package mconsole

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Refusal is an answer that the kernel calls an error.
type Refusal struct {
	Command, Text string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the guest's kernel refuses %q: %s", r.Command, strings.TrimSpace(r.Text))
}

// receive puts the answer together. What is not from the kernel, or not of its
// form, is passed over: only the kernel's silence counts.
func (c *Client) receive(ctx context.Context, sock int, command string) (string, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return "", fmt.Errorf("make an eventfd: %w", err)
	}
	defer unix.Close(wake)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		close(told)
	})
	defer func() {
		if !stop() {
			<-told // it still needs the descriptor
		}
	}()

	var a answer
	for {
		if err := wait(sock, c.process, wake); err != nil {
			return string(a.text), c.silent(ctx, command, &a, err)
		}
		b, err := c.part(sock)
		if err != nil {
			return string(a.text), err
		}
		p, err := parsePart(b)
		if err != nil {
			continue
		}
		last, err := a.add(p)
		switch {
		case err != nil:
			return string(a.text), c.silent(ctx, command, &a, err)
		case last && a.failed:
			return "", fault.GuestRefuses.Permanent("%s: %w", c.name, &Refusal{command, string(a.text)})
		case last:
			return string(a.text), nil
		}
	}
}

var (
	errEnded = errors.New("the guest ended")
	errTime  = errors.New("nothing more came in time")
)

// wait until something came; if nothing did, the kernel's end or ours is the error.
func wait(sock, process, wake int) error {
	fds := []unix.PollFd{
		{Fd: int32(sock), Events: unix.POLLIN},
		{Fd: int32(process), Events: unix.POLLIN},
		{Fd: int32(wake), Events: unix.POLLIN},
	}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case fds[2].Revents != 0: // first: lies that come without pause must not outlast it
			return errTime
		case fds[0].Revents != 0:
			return nil
		default:
			return errEnded
		}
	}
}

// part receives a datagram; nil if it is not from the kernel's process. There is
// room for the sender's credentials and for no descriptor that he may send along: one
// that has some is looked at, and left where it is. To drop a descriptor closes it,
// which can take as long as its owner likes (packet.Apart).
func (c *Client) part(sock int) ([]byte, error) {
	data := make([]byte, maxReply+1)
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	_, _, flags, _, err := unix.Recvmsg(sock, nil, control, unix.MSG_DONTWAIT|unix.MSG_PEEK|unix.MSG_CMSG_CLOEXEC)
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		return nil, fault.Temporary("%s: sends descriptors, which no guest's kernel does", c.name)
	}
	n, controls, _, _, err := unix.Recvmsg(sock, data, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", c.socket.Path, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil || len(messages) != 1 {
		return nil, nil
	}
	from, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || int(from.Pid) != c.pid || int(from.Uid) != c.uid {
		return nil, nil
	}
	return data[:n], nil
}

// silent says what is known of a command whose answer did not come, or not whole.
func (c *Client) silent(ctx context.Context, command string, a *answer, why error) error {
	if errors.Is(why, errTime) && errors.Is(ctx.Err(), context.Canceled) {
		why = errors.New("told to stop")
	}
	if a.parts > 0 {
		return fault.GuestSilent.Temporary("%s: the answer to %q is cut after %d bytes: %w", c.name, command, len(a.text), why)
	}
	return fault.GuestSilent.Temporary("%s: no answer to %q, which may have been done all the same: %w", c.name, command, why)
}

// ended asks whether the process is gone; until then its number was nobody else's.
func (c *Client) ended() bool {
	fds := []unix.PollFd{{Fd: int32(c.process), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}
