package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"uml/test/lab"
)

// Promise 1, between hosts: two that have the same machine and start it within two
// seconds never both run it. Both may give up.
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	one, two := newHost(t, "192.0.2.10"), newHost(t, "192.0.2.11")
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(one.l.PID), "-n",
		"ip", "link", "add", "ext0", "type", "veth", "peer", "name", "ext0", "netns", strconv.Itoa(two.l.PID)).CombinedOutput(); err != nil {
		t.Fatalf("join the hosts: %v\n%s", err, out)
	}
	for _, h := range []*host{one, two} {
		h.l.Must("sh", "-ec", "ip addr add "+h.address+"/24 dev ext0; ip link set ext0 up")
	}
	ran := map[string]int{}
	const starts = 10
	for i := range starts {
		one.start(0)
		two.start(2 * pingTimeout * time.Duration(i) / starts)
		switch up1, up2 := one.decided(), two.decided(); {
		case up1 && up2:
			t.Fatalf("start %d: the guest runs on both hosts\n%s%s", i, one.said.String(), two.said.String())
		case up1 || up2:
			ran["one"]++
		default:
			ran["none"]++
		}
		one.end()
		two.end()
	}
	t.Log(ran)
	if ran["one"] == 0 {
		t.Error("neither host ever ran it")
	}
}

const pingTimeout = time.Second

// A host is a lab with nothing beside it but another of its kind.
type host struct {
	t       *testing.T
	l       *lab.Lab
	m       *lab.Machine
	address string
	cmd     *exec.Cmd
	ended   chan struct{}
	said    bytes.Buffer
	pid     int
}

func newHost(t *testing.T, own string) *host {
	t.Helper()
	l := lab.New(t)
	l.Must("ip", "link", "del", "ext0")
	l.SetHost("external", "ext0")
	l.SetHost("ping-timeout", fmt.Sprint(pingTimeout.Milliseconds()))
	return &host{t: t, l: l, m: l.Machine("guest", lab.Settings{"ip4": address}), address: own}
}

// start starts the guest after a while.
func (h *host) start(after time.Duration) {
	h.t.Helper()
	h.said.Reset()
	h.pid = 0
	file := filepath.Join(h.l.Dir, "pid")
	os.Remove(file)
	h.cmd = h.l.Cmd(h.t.Context(), h.m.Dir, "sh", "-c", fmt.Sprintf("sleep %.3f; echo $$ >%[2]s.new; mv %[2]s.new %[2]s; exec uml-run >/dev/null", after.Seconds(), file))
	h.cmd.Stderr = &h.said
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.ended = make(chan struct{})
	go func() { h.cmd.Wait(); close(h.ended) }()
}

// decided waits until the start has failed, or has become the kernel.
func (h *host) decided() (up bool) {
	h.t.Helper()
	h.l.Wait("the start to end", func() bool {
		select {
		case <-h.ended:
			if said := h.said.String(); !strings.Contains(said, address+": ") {
				h.t.Errorf("the start failed: %s", said)
			}
			return true
		default:
		}
		text, _ := os.ReadFile(filepath.Join(h.l.Dir, "pid"))
		h.pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		exe, _ := os.Readlink(h.l.Proc(h.pid, "exe"))
		up = h.pid != 0 && filepath.Base(exe) == "linux"
		return up
	})
	return up
}

// end kills what runs. Its address is not published when that is done: the other
// host would find it.
func (h *host) end() {
	h.t.Helper()
	select {
	case <-h.ended:
	default:
		h.l.Kill(h.pid, syscall.SIGKILL)
		<-h.ended
	}
	h.l.Must("uml-net", "down", "guest")
}
