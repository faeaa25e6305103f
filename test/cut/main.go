// Command cut stands between uml-machine move and ssh, and ends something when a certain frame
// comes by: tests give it as --ssh "cut WHERE WHAT FILE ssh ...".
//
// WHERE is DIRECTION:KIND:NUMBER, such as out:take:1 or in:A:3: the first request to take that goes
// out, the third answer that comes in. WHAT is who ends, before the frame goes on or after:
// wire, client or freeze; pause makes FILE and goes on when that is gone, so that the test may end
// something itself.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type cutter struct {
	where, kind string
	number      int
	what, file  string
	after       bool

	mu   sync.Mutex
	seen map[string]int
	ssh  *exec.Cmd
}

func main() {
	where := strings.Split(os.Args[1], ":")
	n, err := strconv.Atoi(where[2])
	if err != nil {
		panic(err)
	}
	what, after := strings.CutSuffix(os.Args[2], "-after")
	c := &cutter{where: where[0], kind: where[1], number: n, what: what, after: after, file: os.Args[3], seen: map[string]int{}}
	c.ssh = exec.Command(os.Args[4], os.Args[5:]...)
	c.ssh.Stderr = os.Stderr
	in, _ := c.ssh.StdinPipe()
	out, _ := c.ssh.StdoutPipe()
	if err := c.ssh.Start(); err != nil {
		panic(err)
	}
	go func() {
		c.pass("out", os.Stdin, in)
		in.Close()
	}()
	c.pass("in", out, os.Stdout)
	os.Stdout.Close()
	if err := c.ssh.Wait(); err != nil {
		os.Exit(255)
	}
}

// pass hands frames on.
func (c *cutter) pass(direction string, from io.Reader, to io.Writer) {
	r := bufio.NewReader(from)
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		kind := string(head[:1])
		if kind == "Q" {
			var q struct{ Do string }
			json.Unmarshal(body, &q)
			kind = q.Do
		}
		now := c.comes(direction, kind)
		if now && !c.after {
			c.cut()
		}
		if _, err := to.Write(append(head, body...)); err != nil {
			return
		}
		if now && c.after {
			time.Sleep(50 * time.Millisecond) // it has arrived
			c.cut()
		}
	}
}

func (c *cutter) comes(direction, kind string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[direction+kind]++
	return direction == c.where && kind == c.kind && c.seen[direction+kind] == c.number
}

func (c *cutter) cut() {
	fmt.Fprintf(os.Stderr, "cut: %s %s %d: %s\n", c.where, c.kind, c.number, c.what)
	switch c.what {
	case "pause":
		os.WriteFile(c.file, nil, 0o644)
		for {
			if _, err := os.Stat(c.file); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "client":
		syscall.Kill(os.Getppid(), syscall.SIGKILL)
	case "freeze":
		select {}
	}
	c.ssh.Process.Kill()
	os.Exit(255)
}
