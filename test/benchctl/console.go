package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

const (
	amount = 100 << 20 // bytes that the guest writes to its console
	rounds = 3
)

// console compares what passes through uml-ctl with what passes through socat,
// which is given the same end of the same guest's terminal. The guest is slower
// than either, so what each costs is told too.
func (b *bench) console() {
	m := b.Machine("talker", lab.Settings{"ip4": "192.0.2.21"})
	m.Activate()
	pid := m.WaitUp(0)
	readers := []struct {
		name, process string
		argv          []string
	}{
		{"uml-ctl console --watch", "uml-ctl", []string{"uml-ctl", "console", "talker", "--watch", "--plain=false"}},
		{"the same, --plain", "uml-ctl", []string{"uml-ctl", "console", "talker", "--watch"}},
		{"socat -u", "socat", []string{b.inside(), "master", strconv.Itoa(pid), "socat", "-u", "FD:3", "-"}},
	}
	took, cost := make([][]time.Duration, len(readers)), make([][]time.Duration, len(readers))
	for range rounds {
		for i, r := range readers {
			t, c := b.reads(m, r.process, r.argv...)
			took[i], cost[i] = append(took[i], t), append(cost[i], c)
		}
	}
	fmt.Printf("%d MB of a guest's console, wall time, and processor time of the reader: median (least-most)\n", amount>>20)
	for i, r := range readers {
		fmt.Printf("  %-24s %s  %s\n", r.name, spread(took[i]), spread(cost[i]))
	}
	fmt.Printf("uml-ctl's rate to socat's: %.2f; plain: %.2f\n\n", ratio(median(took[2]), median(took[0])), ratio(median(took[2]), median(took[1])))
}

// reads has a reader take what the guest writes, and measures from the first byte
// to the last.
func (b *bench) reads(m *lab.Machine, process string, argv ...string) (took, cost time.Duration) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*lab.Patience)
	defer cancel()
	cmd := b.Cmd(ctx, b.Dir, argv...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatalf("bench-ctl: %v", err)
	}
	is := func(s lab.Status) bool { return s["Name"] == process }
	b.Wait("the reader", func() bool { return len(b.Processes(is)) == 1 })
	m.Guest(fmt.Sprintf(`[ -s /tmp/x ] || dd if=/dev/zero bs=64k count=16 2>/dev/null | tr '\0' x >/tmp/x
		{ echo; echo begin; for i in $(seq %d); do cat /tmp/x; done; } >/dev/tty1 2>&1 </dev/null &`, amount>>20))
	if err := upTo(out, "begin\r\n", "begin\n"); err != nil {
		b.t.Fatalf("bench-ctl: %v", err)
	}
	began := time.Now()
	n, err := io.CopyN(io.Discard, out, amount)
	took = time.Since(began)
	if err != nil {
		b.t.Fatalf("bench-ctl: %d bytes: %v", n, err)
	}
	for _, pid := range b.Processes(is) {
		b.Kill(pid, unix.SIGTERM)
	}
	cmd.Wait()
	return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// upTo reads to the end of one of the words.
func upTo(r io.Reader, words ...string) error {
	var seen []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			return err
		}
		seen = append(seen, b...)
		for _, w := range words {
			if bytes.HasSuffix(seen, []byte(w)) {
				return nil
			}
		}
	}
}

// master runs a command with the master of a kernel's console as its descriptor 3.
// The kernel is woken all the time, as uml-ctl does when it has to be: without that
// the flood stops within 2 MB, for socat as for anybody (console/guest.go, wake).
func master(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return err
	}
	for _, name := range infos {
		if info, err := os.ReadFile(name); err != nil || !bytes.Contains(info, []byte("tty-index:")) {
			continue
		}
		n, _ := strconv.Atoi(filepath.Base(name))
		fd, err := unix.PidfdGetfd(process, n, 0)
		if err != nil {
			return err
		}
		if err := unix.SetNonblock(fd, false); err != nil { // as a viewer has left it
			return err
		}
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "master")} // its 3
		go func() {
			for range time.Tick(time.Millisecond) {
				unix.PidfdSendSignal(process, unix.SIGIO, nil, 0)
			}
		}()
		return cmd.Run()
	}
	return fmt.Errorf("process %d has no terminal", pid)
}
