package cutter

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

func init() {
	if filepath.Base(os.Args[0]) == programName {
		os.Exit(program(os.Args[0], os.Args[1:]))
	}
}

// A relay is one talk.
type relay struct {
	ssh *exec.Cmd

	mu  sync.Mutex
	ask []string // what was asked for and has no answer yet
}

func program(own string, args []string) int {
	r := &relay{ssh: exec.Command(args[0], args[1:]...)}
	r.ssh.Stderr = os.Stderr
	in, err := r.ssh.StdinPipe()
	must(err)
	out, err := r.ssh.StdoutPipe()
	must(err)
	must(r.ssh.Start())
	socket := filepath.Join(filepath.Dir(own), socketName)
	go func() {
		r.pass(socket, ">", os.Stdin, in)
		in.Close()
	}()
	r.pass(socket, "<", out, os.Stdout)
	os.Stdout.Close()
	if err := r.ssh.Wait(); err != nil {
		return r.ssh.ProcessState.ExitCode()
	}
	return 0
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cutter:", err)
		os.Exit(255)
	}
}

// pass hands frames on until one side ends.
func (r *relay) pass(socket, direction string, from io.Reader, to io.Writer) {
	conn, err := net.Dial("unix", socket)
	must(err)
	defer conn.Close()
	in := bufio.NewReader(from)
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		label := direction + " " + r.label(head[0], body)
		r.orders(conn, before, label)
		if _, err := to.Write(append(head, body...)); err != nil {
			return
		}
		r.orders(conn, after, label)
	}
}

// orders asks the test, and does what it says.
func (r *relay) orders(conn net.Conn, when, label string) {
	_, err := fmt.Fprintf(conn, "%s %s\n", when, label)
	must(err)
	var order [1]byte
	if _, err := io.ReadFull(conn, order[:]); err != nil || Order(order[0]) == Go {
		return // the test has ended: so will all this
	}
	r.ssh.Process.Kill()
	fmt.Fprintln(os.Stderr, "cutter: cut", when, label)
	time.Sleep(10 * time.Millisecond) // the sshd there must be told by the kernel, not by us
	os.Exit(255)
}

// label names a request by what it asks for, and an answer by its request.
func (r *relay) label(kind byte, body []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind {
	case 'Q':
		var q struct{ Do string }
		json.Unmarshal(body, &q)
		r.ask = append(r.ask, q.Do)
		return "Q " + q.Do
	case 'A':
		if len(r.ask) > 0 {
			do := r.ask[0]
			r.ask = r.ask[1:]
			return "A " + do
		}
	}
	return string(kind)
}
