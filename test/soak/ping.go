package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A pinger asks addresses from the other host, by sockets that were opened in its network: no
// process is started for a question.
type pinger struct {
	h    *host
	echo *os.File
	mu   sync.Mutex
	last map[string]time.Time // answer
}

func (h *host) newPinger() *pinger {
	fd, err := h.within("/run/netns/other", func() (int, error) {
		return unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	})
	if err != nil {
		h.t.Fatalf("soak: socket on the other host: %v", err)
	}
	p := &pinger{h: h, echo: os.NewFile(uintptr(fd), "echo"), last: map[string]time.Time{}}
	h.t.Cleanup(func() { p.echo.Close() })
	go p.hear()
	return p
}

// within opens something in a network namespace of the lab: the host's, or that of a path.
func (h *host) within(path string, open func() (int, error)) (fd int, err error) {
	name := fmt.Sprintf("/proc/%d/root%s", h.PID, path)
	if path == "" {
		name = fmt.Sprintf("/proc/%d/ns/net", h.PID)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and ends with it
		var ns int
		if ns, err = unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(ns)
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err == nil {
			fd, err = open()
		}
	}()
	<-done
	return fd, err
}

// ask sends an echo request, RFC 792.
func (p *pinger) ask(address string) {
	b := []byte{8, 0, 0, 0, 's', 'o', 0, 1, 's', 'o', 'a', 'k'}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	control, err := p.echo.SyscallConn()
	if err == nil {
		control.Control(func(fd uintptr) {
			unix.Sendto(int(fd), b, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(address).As4()})
		})
	}
}

func (p *pinger) hear() {
	b := make([]byte, 2048)
	for {
		n, err := p.echo.Read(b)
		if err != nil {
			return
		}
		if n >= 32 && b[20] == 0 && string(b[28:32]) == "soak" {
			p.mu.Lock()
			p.last[netip.AddrFrom4([4]byte(b[12:16])).String()] = time.Now()
			p.mu.Unlock()
		}
	}
}

func (p *pinger) answered(address string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[address]
}

// shell has the shell that listens in a guest run a line.
func (p *pinger) shell(address, line string, limit time.Duration) (string, error) {
	fd, err := p.h.within("/run/netns/other", func() (int, error) {
		return unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	})
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "shell")
	defer f.Close()
	wait := unix.NsecToTimeval(int64(limit))
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &wait); err != nil {
			return "", err
		}
	}
	err = unix.EINTR // with a timeout it is not begun again (signal(7)), and Go's scheduler signals; asked again, it goes on
	for err == unix.EINTR {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 7, Addr: netip.MustParseAddr(address).As4()})
	}
	if err != nil {
		return "", err
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		return "", err
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return "", err
	}
	var said strings.Builder
	_, err = io.Copy(&said, f)
	return said.String(), err
}
