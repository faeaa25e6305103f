package desk

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"uml/request"
)

// patience is how long a connection may say nothing.
const patience = 5 * time.Second

// serve takes connections in, each of which is served by itself.
func (d *Desk) serve(listener int) error {
	seen := &seen{}
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			if errors.Is(err, unix.EBADF) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSOCK) {
				return fmt.Errorf("accept: %w", err)
			}
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
				time.Sleep(20 * time.Millisecond) // no descriptors, no memory
			}
			continue
		}
		now := time.Now()
		peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			unix.Close(fd)
			continue
		}
		key := d.key(int(peer.Uid), seen, now)
		c := newConn(fd)
		if err := d.limits.enter(key, now); err != nil {
			d.journal.refuse(now, fmt.Sprintf("user %d: refused: %v", peer.Uid, err))
			c.reply(request.Failed(err))
			c.close()
			continue
		}
		go func() {
			defer d.limits.leave(key)
			defer c.close()
			d.answer(c, int(peer.Uid))
		}()
	}
}

// seen are users who had no machine, for a second: they share a share, so that there
// are no more shares than accounts, and no account is looked up for each connection.
type seen struct {
	users map[int]bool
	at    time.Time
}

const maxSeen = 1024

// key is whose share a connection is counted in.
func (d *Desk) key(uid int, seen *seen, now time.Time) int {
	if d.limits.knows(uid) {
		return uid
	}
	if now.Sub(seen.at) > time.Second || len(seen.users) >= maxSeen {
		seen.users, seen.at = map[int]bool{}, now
	}
	if seen.users[uid] {
		return strangers
	}
	a, err := d.home(uid)
	if err != nil {
		seen.users[uid] = true
		return strangers
	}
	a.close()
	return uid
}
