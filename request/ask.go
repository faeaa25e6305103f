package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/packet"
)

// Ask asks the service that listens at socket, which has to be root's, and calls
// step for each step it tells of. The descriptors that come with the last answer
// are the caller's. When ctx is done the connection closes: what was begun goes on.
func Ask(ctx context.Context, socket string, r Request, step func(string)) (a *Answer, fds []int, err error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	sock, err := dial(socket)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(sock)
	a, fds, err = Over(ctx, sock, r, step)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("ask %s: %w", socket, err)
	}
	return a, fds, err
}

// Over is Ask over a connection that there is.
func Over(ctx context.Context, sock int, r Request, step func(string)) (a *Answer, fds []int, err error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { unix.Shutdown(sock, unix.SHUT_RDWR) })()
	if err := packet.Send(sock, b, nil, 0); err != nil {
		// A service that refuses has answered, and hung up.
		if !errors.Is(err, unix.EPIPE) {
			return nil, nil, err
		}
	}
	buffer := make([]byte, maxAnswer)
	for {
		n, fds, err := packet.Receive(sock, buffer, 0)
		if ctx.Err() != nil {
			packet.Close(fds)
			return nil, nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			return nil, nil, fault.Temporary("the service has hung up without an answer")
		}
		a, err := parseAnswer(buffer[:n])
		if err != nil {
			packet.Close(fds)
			return nil, nil, err
		}
		if a.Step == "" {
			return a, fds, nil
		}
		packet.Close(fds)
		step(a.Step)
	}
}

// dial joins the service. One who listens there and is not root is none.
func dial(socket string) (int, error) {
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.Connect(sock, &unix.SockaddrUnix{Name: socket}); err != nil {
		unix.Close(sock)
		return -1, fault.SupervisorMissing.Temporary("the host's service for machine accounts does not run: %s: %w", socket, err)
	}
	peer, err := unix.GetsockoptUcred(sock, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil && peer.Uid != 0 {
		err = fault.Permanent("%s: user %d listens there, who is not root", socket, peer.Uid)
	}
	if err != nil {
		unix.Close(sock)
		return -1, err
	}
	return sock, nil
}
