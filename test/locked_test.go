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

	"golang.org/x/sys/unix"

	"uml/check"
	"uml/test/lab"
)

// A host that is short of memory swaps out a guest's RAM, but not that of one with the
// setting lock. Short of memory is the control group that both are in.
func TestLocked(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	free := l.Machine("free", lab.Settings{"ip4": address})
	locked := l.Machine("locked", lab.Settings{"ip4": "192.0.2.21", "lock": "yes"})
	if plan := locked.Run("uml-run", "--dry-run").Out; !strings.Contains(plan, "mount tmpfs /tmp nosuid,nodev,noswap size=64M ") {
		t.Errorf("planned\n%s", plan)
	}
	addSwap(t, 256<<20)
	g := newGroup(t, l)
	free.Activate(g.enter()...)
	locked.Activate(g.enter()...)
	ofFree, ofLocked := free.WaitUp(0), locked.WaitUp(0)
	wrote := [2]string{fillMemory(free, 4<<10), fillMemory(locked, 4<<10)}

	g.squeeze(func() bool { return swapped(t, l, ofFree) > 16<<20 })
	if n := swapped(t, l, ofLocked); n != 0 {
		t.Errorf("%d bytes of the locked guest's RAM are in the host's swap", n)
	}
	t.Logf("in swap: %d bytes of the free guest's RAM, %s of its kernel's own memory, %s of the locked guest's kernel's",
		swapped(t, l, ofFree), l.Status(ofFree)["VmSwap"], l.Status(ofLocked)["VmSwap"])
	g.release()

	if read := [2]string{sumOfMemory(free), sumOfMemory(locked)}; read != wrote {
		t.Errorf("what the guests wrote to their RAM is %q, read %q", wrote, read)
	}
	if now := [2]int{free.PID(), locked.PID()}; now != [2]int{ofFree, ofLocked} {
		t.Errorf("the kernels are %v, were %v", now, [2]int{ofFree, ofLocked})
	}
	has(t, lines(t, l, 0, "locked"), "memory", check.OK, "64M stay out of the host's swap: noswap")
	has(t, lines(t, l, 0, "free"), "memory", check.OK, "64M may be swapped out by the host")
	free.Set("lock", "yes")
	has(t, lines(t, l, 0, "free"), "memory", check.Warn, "was started without settings/lock")
}

// swapped is how much of a guest's RAM is in the host's swap: the Swap of the kernel's
// mappings of its file, which the host's kernel counts in the file (fs/proc/task_mmu.c,
// smap_gather_stats).
func swapped(t *testing.T, l *lab.Lab, pid int) (bytes int) {
	t.Helper()
	text, err := os.ReadFile(l.Proc(pid, "smaps"))
	if err != nil {
		t.Fatal(err)
	}
	ram, seen := false, false
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(f[0], ":"): // a mapping begins
			ram = len(f) > 5 && strings.HasPrefix(f[5], jailTmp)
		case ram && f[0] == "Swap:":
			kb, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			bytes += kb << 10
			seen = true
		}
	}
	if !seen {
		t.Fatalf("process %d has no RAM mapped:\n%s", pid, text)
	}
	return bytes
}

// addSwap gives the host swap for the time of the test. A process takes it away again
// that outlives this one.
func addSwap(t *testing.T, size int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "swap")
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		f.Close()
	}
	if err != nil {
		t.Fatalf("make a swap area: %v", err)
	}
	cmd := exec.Command("sh", "-c", `mkswap "$0" && swapon "$0" || exit; echo there; cat; swapoff "$0"; rm -f "$0"`, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // no Ctrl-C
	var said bytes.Buffer
	cmd.Stderr = &said
	life, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		life.Close()
		cmd.Wait()
	})
	heard := make([]byte, 4096)
	for all := ""; !strings.HasSuffix(all, "there\n"); {
		n, err := out.Read(heard)
		if all += string(heard[:n]); err != nil {
			t.Fatalf("this host takes no swap area in %s: %s%s", file, all, said.String())
		}
	}
}

// A group is a control group of the memory controller, of whichever version this host
// has it in.
type group struct {
	t   *testing.T
	l   *lab.Lab
	dir string // on this host
	in  string // in the lab
	v2  bool
}

func newGroup(t *testing.T, l *lab.Lab) *group {
	t.Helper()
	g := &group{t: t, l: l}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	top, below, how := "", "", ""
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(kind) < 3 || strings.HasPrefix(f[3], "/..") {
			continue
		}
		controllers, _ := os.ReadFile(filepath.Join(f[4], "cgroup.controllers"))
		switch {
		case kind[0] == "cgroup" && strings.Contains(","+kind[2]+",", ",memory,"):
			top, below, how, g.v2 = f[4], f[3], "-t cgroup -o memory", false
		case kind[0] == "cgroup2" && strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") && top == "":
			top, below, how, g.v2 = f[4], f[3], "-t cgroup2", true
		}
	}
	if top == "" {
		t.Fatal("this host has the memory controller of control groups mounted in neither version: it cannot be made short of memory")
	}
	if g.v2 {
		g.write(filepath.Join(top, "cgroup.subtree_control"), "+memory")
	}
	name := fmt.Sprintf("uml-test-%d", os.Getpid())
	g.dir = filepath.Join(top, name)
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close() // whatever is in the group
		if err := os.Remove(g.dir); err != nil {
			t.Errorf("%v: it is still there", err)
		}
	})
	const at = "/run/control-groups" // the lab has no mounts of the host's below /sys
	l.Must("sh", "-ec", fmt.Sprintf("mkdir %s; mount %s groups %s", at, how, at))
	g.in = filepath.Join(at, below, name)
	if !g.v2 {
		g.write(filepath.Join(g.dir, "memory.swappiness"), "100")
	}
	return g
}

// enter is the command that runs what is added to it in the group.
func (g *group) enter() []string {
	return []string{"sh", "-ec", `echo 0 >"$0/cgroup.procs"; exec "$@"`, g.in}
}

// squeeze takes memory from the group until enough is gone, a bit at a time: it is not
// to be short of what it cannot give.
func (g *group) squeeze(enough func() bool) {
	g.t.Helper()
	const bit = 4 << 20
	for range 100 {
		if enough() {
			return
		}
		var err error
		if g.v2 {
			err = os.WriteFile(filepath.Join(g.dir, "memory.reclaim"), []byte(strconv.Itoa(bit)), 0)
		} else {
			err = os.WriteFile(filepath.Join(g.dir, "memory.limit_in_bytes"), []byte(strconv.Itoa(g.usage()-bit)), 0)
		}
		if err != nil {
			g.t.Logf("squeeze: %v", err)
		}
	}
	g.t.Fatalf("the group gave too little of its memory to swap: it has %d bytes", g.usage())
}

func (g *group) usage() int {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, map[bool]string{false: "memory.usage_in_bytes", true: "memory.current"}[g.v2]))
	if err != nil {
		g.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// release lets the group have what it needs.
func (g *group) release() {
	g.t.Helper()
	if !g.v2 {
		g.write(filepath.Join(g.dir, "memory.limit_in_bytes"), "-1")
	}
}

func (g *group) write(file, text string) {
	g.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		g.t.Fatal(err)
	}
}

// A host whose tmpfs has no noswap refuses the setting lock, unless a control group that
// the start is in keeps it out of swap. The host is a guest: its kernel is old enough.
func TestLockedOldHost(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "mem": "128M", "ubd1": "ubd1"})
	tree := filepath.Join(l.Dir, "host")
	l.Must("sh", "-ec", fmt.Sprintf(`
		mkdir -p %[1]s/machines/web/settings %[1]s/machines/web/jail
		cp %[2]s/uml-run %[1]s
		echo yes >%[1]s/machines/web/settings/lock
		truncate -s 32M %[3]s/ubd1
		mkfs.ext4 -q -F -b 4096 -E root_owner=0:0 -d %[1]s %[3]s/ubd1
		chown guest: %[3]s/ubd1`, tree, l.Bin, m.Jail))
	m.Activate()
	m.WaitUp(0)
	const start = "./uml-run --dry-run machines/web 2>&1"
	said := m.Guest(`
		echo web:x:1000:1000::/:/bin/sh >>/etc/passwd
		mount /dev/ubdb /root && cd /root || exit
		mkdir -p /etc/uml-run
		echo 0 >/etc/uml-run/min-uptime
		uname -r
		` + start + `
		echo IN A GROUP
		mount -t cgroup2 groups /sys/fs/cgroup
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control
		mkdir -p /sys/fs/cgroup/guests/web
		echo 0 >/sys/fs/cgroup/guests/memory.swap.max
		echo 0 >/sys/fs/cgroup/guests/web/cgroup.procs
		` + start + `
		echo IN ITS OWN
		echo 0 >/sys/fs/cgroup/cgroup.procs
		` + start)
	before, after, _ := strings.Cut(said, "IN A GROUP\n")
	after, own, _ := strings.Cut(after, "IN ITS OWN\n")
	const refused = "machines/web/settings/lock: this host cannot keep the guest's RAM out of swap: its tmpfs has no noswap (Linux 6.4), and no control group"
	if !strings.Contains(before, refused) || strings.Contains(after, refused) || strings.Contains(own, refused) ||
		!strings.Contains(after, "\ncheck  /sys/fs/cgroup/guests: memory.swap.max is 0\n") {
		t.Errorf("a start on a guest as its host (it must be older than 6.4) said\n%s", said)
	}
}
