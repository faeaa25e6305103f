package jail

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The box is a pair of sockets that the kernel inherits and never uses. Descriptors
// that are sent into it stay open, with their locks, until the last process that has
// the other end is gone: so the discs of a guest that runs can be locked as those of
// its start are, and no process has to stay for it.
//
// A kernel that was broken out of can empty the box, as it can let go of the others.
const (
	boxIn  = firstTerminal - 2
	boxOut = firstTerminal - 1
)

// maxBox is more than a guest has discs.
const maxBox = 64

// openBox: sockets that are each other's peers take any number of datagrams, others
// net.unix.max_dgram_qlen (net/unix/af_unix.c, unix_dgram_sendmsg).
func (j *Jail) openBox() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("make a pair of sockets: %w", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	j.Keep = append(j.Keep, boxIn, boxOut)
	return inherit([]int{pair[0], pair[1]}, boxIn)
}

// inherit gives descriptors their numbers, from first on.
func inherit(fds []int, first int) error {
	for i, fd := range fds {
		err := unix.Dup3(fd, first+i, unix.O_CLOEXEC)
		if errors.Is(err, unix.EBADF) { // said of a number that is over the limit
			return fmt.Errorf("no descriptor %d to be had (raise the supervisor's limit of open files): %w", first+i, unix.EMFILE)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Hold keeps files open under a name as long as the kernel runs that has the pidfd
// process. Held are descriptors of the user's own rights: they may come into his hands.
func Hold(process int, name string, files []*os.File) error {
	in, err := getfd(process, boxIn)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	for _, f := range files {
		if err := send(in, name, int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// LetGo closes what is held under a name. One look through the box: what is held
// under another goes to its end, and a message of ours without a file marks that. It
// goes there before it is taken from the front: who is killed between the two leaves
// it there twice, and no disc without its lock.
func LetGo(process int, name string) error {
	in, err := getfd(process, boxIn)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := getfd(process, boxOut)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	end := rand.Text() // not that of one that was killed
	if err := unix.Sendto(in, []byte(end), unix.MSG_DONTWAIT, nil); err != nil {
		return fmt.Errorf("mark the end of what the guest holds: %w", err)
	}
	for range maxBox {
		of, fd, err := receive(out, unix.MSG_PEEK)
		if fd >= 0 {
			if of != name {
				err = send(in, of, fd)
			}
			unix.Close(fd)
		}
		if err == nil {
			err = drop(out)
		}
		if errors.Is(err, unix.EAGAIN) || err == nil && of == end {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at what the guest holds: %w", err)
		}
	}
	return nil
}

// drop takes away what is first.
func drop(out int) error {
	_, fd, err := receive(out, 0)
	if fd >= 0 {
		unix.Close(fd)
	}
	return err
}

func getfd(process, number int) (int, error) {
	fd, err := unix.PidfdGetfd(process, number, 0)
	if err != nil {
		return -1, fmt.Errorf("take descriptor %d of the guest's kernel: %w", number, err)
	}
	return fd, nil
}

func send(in int, name string, fd int) error {
	if err := unix.Sendmsg(in, []byte(name), unix.UnixRights(fd), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("have the guest hold the lock of %s: %w", name, err)
	}
	return nil
}

// receive returns -1 for what bears no descriptor.
func receive(out, how int) (name string, fd int, err error) {
	data, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, c, _, _, err := unix.Recvmsg(out, data, control, how|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return "", -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil || len(messages) != 1 {
		return string(data[:n]), -1, nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return string(data[:n]), -1, nil
	}
	for _, more := range fds[1:] { // none of ours
		unix.Close(more)
	}
	return string(data[:n]), fds[0], nil
}
