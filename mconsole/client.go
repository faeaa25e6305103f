// Package mconsole asks a running guest's kernel by its management console
// (arch/um/drivers/mconsole_kern.c): a datagram with a command goes to a socket in
// a directory of the guest's user, the answer comes to a socket that the kernel
// finds by the name that ours is bound to.
//
// All of it is seen as the kernel sees it, from its own root: there the directory
// is a mount that nobody can move or replace, and a relative name means the same
// to both. An abstract name would not do: from Linux 6.12 on Landlock keeps the
// kernel from sending to one.
//
// Everything that comes back is the guest's word. It is taken from the kernel's
// own process only, bounded, and must not be printed as it is (see Clean).
package mconsole

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/packet"
)

// A Client is a guest's kernel, held by its process and its socket.
type Client struct {
	name     string // of the guest, for messages
	pid      int
	uid, gid int
	process  int // pidfd
	root     *handle.Dir
	uml      *handle.Dir // held: with the kernel's end its mounts go, and no path leads there
	socket   *handle.File
}

// Dial finds the socket of the guest kernel that is process pid and runs as uid;
// name is its umid. That pid is such a kernel is for the caller to make sure of,
// once before and once after.
func Dial(pid, uid int, name string) (*Client, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fault.GuestDown.Temporary("%s: the guest has just ended", name)
	}
	if err != nil {
		return nil, fmt.Errorf("hold process %d: %w", pid, err)
	}
	c := &Client{name: name, pid: pid, uid: uid, process: process}
	if err := c.find(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) find() (err error) {
	if c.root, err = handle.OpenDir(fmt.Sprintf("/proc/%d/root", c.pid)); err != nil {
		return err
	}
	if c.uml, err = c.root.Dir(dir); err != nil {
		return err
	}
	st, err := c.uml.Stat()
	if err != nil {
		return err
	}
	c.gid = int(st.Gid)
	if c.socket, err = c.uml.Open(c.name + "/mconsole"); errors.Is(err, unix.ENOENT) {
		return fault.GuestSilent.Temporary("%w (is the guest just starting, or was it removed?)", err)
	}
	if err != nil {
		return err
	}
	if c.socket.Stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fault.Permanent("%s: is %s, not a socket (something put it in the kernel's place: start the guest anew)", c.socket.Path, c.socket.Kind())
	}
	if int(c.socket.Stat.Uid) != c.uid {
		return fault.Permanent("%s: belongs to user %d, not to the guest's, %d", c.socket.Path, c.socket.Stat.Uid, c.uid)
	}
	return nil
}

// Process is the kernel's pidfd, the client's as long as it is not closed.
func (c *Client) Process() int { return c.process }

// Close lets go of the kernel.
func (c *Client) Close() {
	if c.socket != nil {
		c.socket.Close()
	}
	if c.uml != nil {
		c.uml.Close()
	}
	if c.root != nil {
		c.root.Close()
	}
	unix.Close(c.process)
}

// dir is the directory of sockets, from the kernel's root and working directory.
const dir = "uml"

// Ask sends a command made by Command, and returns the whole answer. What the
// kernel calls an error is a *Refusal. With any other error the text is what came
// until then; whether the command was done is not known.
func (c *Client) Ask(ctx context.Context, command string) (string, error) {
	datagram, err := request(command)
	if err != nil {
		return "", err
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("make a socket: %w", err)
	}
	defer packet.Apart(func() { unix.Close(sock) })
	if err := unix.SetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return "", fmt.Errorf("ask for credentials: %w", err)
	}
	name := "ctl-" + rand.Text()
	if err := c.bind(sock, path.Join(dir, name)); err != nil {
		return "", err
	}
	defer c.asUser(func() error { return unix.Unlinkat(c.uml.Fd(), name, 0) })
	if c.ended() {
		return "", fault.GuestDown.Temporary("%s: the guest has just ended", c.name)
	}
	if err := c.send(sock, datagram); err != nil {
		return "", err
	}
	return c.receive(ctx, sock, command)
}

// bind gives the socket a name that the kernel finds. The kernel looks the very
// bytes up from its working directory, /: so they are bound from there, by a thread
// that has a working directory and a umask of its own and ends after. With the
// user's rights on files, since the directory is his; a link of that name is not
// followed (bind(2), EADDRINUSE).
func (c *Client) bind(sock int, name string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare working directory: %w", err)
			}
			if err := unix.Fchdir(c.root.Fd()); err != nil {
				return fmt.Errorf("chdir %s: %w", c.root.Path, err)
			}
			unix.Umask(0o077)
			err := c.asUser(func() error { return unix.Bind(sock, &unix.SockaddrUnix{Name: name}) })
			if err != nil {
				return fmt.Errorf("bind a socket for the answer, %s: %w", c.root.Join(name), err)
			}
			return nil
		}()
	}()
	return <-done
}

func (c *Client) asUser(do func() error) error {
	if os.Geteuid() == c.uid {
		return do()
	}
	return handle.As(c.uid, c.gid, do)
}

// send connects the socket first. One that is connected takes datagrams from its
// peer alone, and from that any number: from others ten at most may lie unread
// (net.unix.max_dgram_qlen), and the kernel, which waits for nobody, drops the rest
// of a long answer (net/unix/af_unix.c, unix_dgram_sendmsg). It never waits either.
func (c *Client) send(sock int, datagram []byte) error {
	// The socket is the user's: a service may have no right of root's to write to it.
	err := c.asUser(func() error {
		return unix.Connect(sock, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", c.socket.Fd())})
	})
	if err == nil {
		err = unix.Send(sock, datagram, unix.MSG_DONTWAIT)
	}
	switch {
	case errors.Is(err, unix.EAGAIN):
		return fault.GuestSilent.Temporary("%s: the guest's kernel reads no commands, and ten wait already", c.name)
	case errors.Is(err, unix.ECONNREFUSED):
		return fault.GuestSilent.Temporary("%s: nobody listens there", c.socket.Path)
	case err != nil:
		return fmt.Errorf("send to %s: %w", c.socket.Path, err)
	}
	return nil
}
