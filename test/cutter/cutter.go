// Package cutter stands between uml-machine move and ssh, for a test that decides of each frame
// whether and when it goes on. The frames are taken apart here once more: what package wire does
// wrong must not be hidden by it.
//
// The program that does it is the test's own, under another name, as a lab's first process is
// (package lab). A connection for each direction asks the test: it says a frame's label, and
// again once that has gone on, and waits each time for one byte.
package cutter

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	programName = "uml-cutter"
	socketName  = "cutter.sock"

	before = "before"
	after  = "after"
)

// A Frame is one that comes by.
type Frame struct {
	Out    bool   // from the client
	Label  string // such as "> D", "> Q take", "< A take": direction, kind, and of what it is
	Number int    // of this label in this talk, from 1
	Passed bool   // it has gone on: asked for a second time
}

func (f Frame) String() string {
	when := "before"
	if f.Passed {
		when = "after"
	}
	return fmt.Sprintf("%s %s %d", when, f.Label, f.Number)
}

// An Order is what becomes of it.
type Order byte

const (
	Go  Order = 'g'
	Cut Order = 'c' // the wire: ssh is killed, and the frame lost
)

// A Cutter is the test's side. Each frame is asked for in its turn, by one direction at a time:
// while an answer is not given, nothing of that direction goes on.
type Cutter struct {
	command string
	l       net.Listener

	mu     sync.Mutex
	decide func(Frame) Order
}

// New makes one in a directory, which both sides must see by the same path.
func New(dir string) (*Cutter, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Cutter{command: filepath.Join(dir, programName), decide: goOn}
	if err := os.Symlink(self, c.command); err != nil {
		return nil, err
	}
	if c.l, err = net.Listen("unix", filepath.Join(dir, socketName)); err != nil {
		return nil, err
	}
	go c.serve()
	return c, nil
}

func goOn(Frame) Order { return Go }

// Command is what stands before ssh.
func (c *Cutter) Command() string { return c.command }

// Close ends it.
func (c *Cutter) Close() { c.l.Close() }

// Decide has f asked from now on; nil lets everything go on.
func (c *Cutter) Decide(f func(Frame) Order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decide = f; f == nil {
		c.decide = goOn
	}
}

func (c *Cutter) serve() {
	for {
		conn, err := c.l.Accept()
		if err != nil {
			return
		}
		go c.talk(conn)
	}
}

func (c *Cutter) talk(conn net.Conn) {
	defer conn.Close()
	seen := map[string]int{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		when, label, _ := strings.Cut(lines.Text(), " ")
		if when == before {
			seen[label]++
		}
		c.mu.Lock()
		decide := c.decide
		c.mu.Unlock()
		f := Frame{Out: strings.HasPrefix(label, ">"), Label: label, Number: seen[label], Passed: when == after}
		if _, err := conn.Write([]byte{byte(decide(f))}); err != nil {
			return
		}
	}
}
