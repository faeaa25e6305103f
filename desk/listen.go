package desk

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// listenFD is where systemd passes a listening socket (sd_listen_fds(3)), and where
// we pass ours on.
const listenFD = 3

// backlog is how many may wait to be taken; the host's net.core.somaxconn bounds it.
const backlog = 4096

// listen makes listenFD the listening socket: systemd's, or one of our own.
func listen(o Options) error {
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) && os.Getenv("LISTEN_FDS") != "" {
		if os.Getenv("LISTEN_FDS") != "1" {
			return fault.Permanent("LISTEN_FDS is %q: it listens at one socket", os.Getenv("LISTEN_FDS"))
		}
		return listens(listenFD)
	}
	sock, err := ownSocket(o)
	if err != nil {
		return err
	}
	// 3 may be anything that the supervisor left open, the lock among it.
	if err := unix.Dup3(sock, listenFD, 0); err != nil {
		return fmt.Errorf("pass the socket on: %w", err)
	}
	return nil
}

// listens makes sure of what was passed.
func listens(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fault.Permanent("descriptor %d, which was passed to listen at: %w", fd, err)
	}
	family, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	accepts, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if kind != unix.SOCK_SEQPACKET || family != unix.AF_UNIX || accepts != 1 {
		return fault.Permanent("descriptor %d, which was passed, is no UNIX socket that listens for packets in sequence (ListenSequentialPacket=, Accept=no)", fd)
	}
	return unix.SetNonblock(fd, false)
}

// ownSocket listens at o.Socket, which it makes, with its directory.
func ownSocket(o Options) (int, error) {
	gid, mode := 0, uint32(0o666)
	if o.Group != "" {
		g, err := user.LookupGroup(o.Group)
		if err != nil {
			return -1, fault.Permanent("--group: %w", err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return -1, err
		}
		mode = 0o660
	}
	dir, name, err := socketDir(o.Socket)
	if err != nil {
		return -1, err
	}
	// Held through the exec, until the process ends.
	if err := alone(dir, name); err != nil {
		return -1, err
	}
	if err := unix.Chdir(procfd(dir.Fd())); err != nil { // a path of 108 bytes at most fits into an address
		return -1, err
	}
	defer unix.Chdir("/")
	var st unix.Stat_t
	err = unix.Lstat(name, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return -1, fault.Permanent("%s: is there, and no socket", o.Socket)
	}
	if err == nil { // of one that is no more: we have its lock
		if err := unix.Unlink(name); err != nil {
			return -1, &os.PathError{Op: "remove", Path: o.Socket, Err: err}
		}
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	if err := bind(sock, name, gid, mode); err != nil {
		return -1, fmt.Errorf("listen at %s: %w", o.Socket, err)
	}
	return sock, nil
}

// bind lets nobody in before the socket has its mode.
func bind(sock int, name string, gid int, mode uint32) error {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	return errors.Join(
		unix.Bind(sock, &unix.SockaddrUnix{Name: name}),
		unix.Lchown(name, 0, gid),
		unix.Chmod(name, mode),
		unix.Listen(sock, backlog))
}

// socketDir makes the socket's directory, root's, if it is not there.
func socketDir(socket string) (*handle.Dir, string, error) {
	if !path.IsAbs(socket) || path.Clean(socket) != socket {
		return nil, "", fault.Permanent("--socket: %q is no absolute path", socket)
	}
	name := path.Dir(socket)
	err := unix.Mkdir(name, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, "", fault.Permanent("make the socket's directory: %w", &os.PathError{Op: "mkdir", Path: name, Err: err})
	}
	dir, err := handle.OpenDir(name)
	if err != nil {
		return nil, "", fault.Permanent("%w", err)
	}
	real, err := dir.Real()
	if err != nil {
		return nil, "", err
	}
	return dir, path.Base(socket), handle.Rooted(real)
}

// alone holds the lock beside the socket, by a descriptor that stays open.
func alone(dir *handle.Dir, name string) error {
	fd, err := unix.Openat(dir.Fd(), name+".lock", unix.O_RDONLY|unix.O_CREAT|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir.Join(name + ".lock"), Err: err}
	}
	if fd == listenFD { // the socket's place
		if fd, err = unix.FcntlInt(listenFD, unix.F_DUPFD, listenFD+1); err != nil {
			return err
		}
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fault.AlreadyThere.Temporary("%s: another one listens there already", dir.Join(name))
	}
	return err
}

func procfd(fd int) string { return "/proc/thread-self/fd/" + strconv.Itoa(fd) }
