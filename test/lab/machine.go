package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelImage is Debian's: dynamic, with both network transports.
const kernelImage = "/usr/bin/linux.uml"

// Settings are a machine's: file names and their text.
type Settings map[string]string

// A Machine is a machine directory, its account, and its guest when it runs.
type Machine struct {
	Name string // also its account
	Dir  string
	Jail string
	UID  int
	IP4  string // its first IPv4 address, "" if it has none

	l *Lab
}

// Machine makes a machine directory below the machines root, ready to start:
// account, kernel, and a disc with a guest that has the addresses of its settings.
func (l *Lab) Machine(name string, s Settings) *Machine {
	l.t.Helper()
	return l.MachineIn(l.Machines, name, s)
}

// MachineIn is Machine below another machines root, which it makes.
func (l *Lab) MachineIn(root, name string, s Settings) *Machine {
	l.t.Helper()
	m := &Machine{Name: name, Dir: filepath.Join(root, name), UID: l.Account(name), l: l}
	m.Jail = filepath.Join(m.Dir, "jail")
	if err := m.fill(s); err != nil {
		l.t.Fatalf("lab: machine %s: %v", name, err)
	}
	return m
}

func (m *Machine) fill(s Settings) error {
	if err := os.MkdirAll(filepath.Join(m.Dir, "settings"), 0o755); err != nil {
		return err
	}
	for name, value := range s {
		m.Set(name, value)
	}
	addresses, err := m.addresses(s)
	if err != nil {
		return err
	}
	disc, kernel := filepath.Join(m.Jail, "ubd0"), filepath.Join(m.Jail, "linux")
	return errors.Join(
		os.Symlink(filepath.Join(m.l.Bin, "uml-run"), filepath.Join(m.Dir, "run")),
		os.Mkdir(m.Jail, 0o755),
		m.l.makeImage(disc, addresses),
		copyFile(KernelImage(), kernel, 0o755),
		os.Chown(m.Jail, m.UID, m.UID), os.Chown(disc, m.UID, m.UID), os.Chown(kernel, m.UID, m.UID))
}

// addresses are those that the guest gives itself: the first of each IPv4 block,
// and ::2 of the first IPv6 prefix. On a bridge a prefix is advertised.
func (m *Machine) addresses(s Settings) (all []netip.Prefix, err error) {
	for _, line := range strings.Fields(s["ip4"]) {
		address, _, _ := strings.Cut(line, "/")
		a, err := netip.ParseAddr(address)
		if err != nil {
			return nil, err
		}
		if m.IP4 == "" {
			m.IP4 = address
		}
		all = append(all, netip.PrefixFrom(a, 32))
	}
	bridged := strings.HasPrefix(s["net"], "bridged") // its router says what it has
	if lines := strings.Fields(s["ip6"]); len(lines) > 0 && !bridged {
		p, err := netip.ParsePrefix(lines[0])
		if err != nil {
			return nil, err
		}
		all = append(all, netip.PrefixFrom(p.Addr().Next().Next(), p.Bits()))
	}
	return all, nil
}

// Account makes an account and returns its id. It stands before the host's own,
// so that one of the same name there does not matter.
func (l *Lab) Account(name string) int {
	l.t.Helper()
	uid := l.uid
	l.uid++
	for file, line := range map[string]string{
		"passwd": fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin", name, uid, uid),
		"group":  fmt.Sprintf("%s:x:%d:", name, uid),
		"shadow": name + ":!::::::",
	} {
		l.addAccount(file, line)
	}
	return uid
}

// addAccount adds a line to an account file, before all others.
func (l *Lab) addAccount(file, line string) {
	l.t.Helper()
	file = filepath.Join(l.Dir, "etc", file)
	rest, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	l.write(file, line+"\n"+strings.TrimSuffix(string(rest), "\n"))
}

// Login makes the machine's account one to log in to: its home is the machine's
// directory, and this its shell.
func (m *Machine) Login(shell string) {
	m.l.t.Helper()
	m.l.passwd(m.Name, func(fields []string) { fields[5], fields[6] = m.Dir, shell })
}

// SetHome gives an account another home.
func (l *Lab) SetHome(name, home string) {
	l.t.Helper()
	l.passwd(name, func(fields []string) { fields[5] = home })
}

// passwd changes an account's line of passwd(5).
func (l *Lab) passwd(name string, change func(fields []string)) {
	l.t.Helper()
	file := filepath.Join(l.Dir, "etc/passwd")
	text, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines {
		if fields := strings.Split(line, ":"); fields[0] == name && len(fields) == 7 {
			change(fields)
			lines[i] = strings.Join(fields, ":")
			break // those of the lab come first
		}
	}
	l.write(file, strings.Join(lines, "\n"))
}

// Set gives one of the machine's settings a value.
func (m *Machine) Set(name, value string) {
	m.l.t.Helper()
	m.l.write(filepath.Join(m.Dir, "settings", name), value)
}

// Unset removes one of the machine's settings.
func (m *Machine) Unset(name string) {
	m.l.t.Helper()
	if err := os.Remove(filepath.Join(m.Dir, "settings", name)); err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
}

// Link is where the machine is activated.
func (m *Machine) Link() string { return filepath.Join(m.l.Service, "uml-"+m.Name) }

// Activate links the machine into the service directory and supervises it as
// svscan does, with the output kept for Log. A command before it is one that
// starts the command after it.
func (m *Machine) Activate(before ...string) {
	m.l.t.Helper()
	if err := os.Symlink(m.Dir, m.Link()); err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
	log, err := os.Create(m.logFile())
	if err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
	defer log.Close()
	supervise := m.l.daemon(m.l.Service, append(before, "supervise", filepath.Base(m.Link()))...)
	supervise.Stdout, supervise.Stderr = log, log
	if err := supervise.Start(); err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
	go supervise.Wait()
	m.l.Wait("supervise of "+m.Name, func() bool { return m.l.Run("svok", m.Link()).Code == 0 })
}

// Svc gives supervise an order, such as -d, and waits until it is read.
func (m *Machine) Svc(option string) {
	m.l.t.Helper()
	m.l.Must("svc", option, m.Link())
	m.l.Wait("supervise to read its orders", m.heard)
}

// heard says whether supervise has read all orders. It reads none in the second
// after it has started something.
func (m *Machine) heard() bool {
	m.l.t.Helper()
	fifo, err := os.OpenFile(filepath.Join(m.Dir, "supervise/control"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
	defer fifo.Close()
	waiting, err := unix.IoctlGetInt(int(fifo.Fd()), unix.TIOCINQ)
	if err != nil {
		m.l.t.Fatalf("lab: orders of %s: %v", m.Name, err)
	}
	return waiting == 0
}

// Svstat is svstat's line, without the path.
func (m *Machine) Svstat() string {
	m.l.t.Helper()
	_, status, _ := strings.Cut(m.l.Must("svstat", m.Link()), ": ")
	return strings.TrimSpace(status)
}

// PID is the process that supervise watches, on the host; 0 if there is none.
func (m *Machine) PID() int {
	m.l.t.Helper()
	_, rest, _ := strings.Cut(m.Svstat(), "up (pid ")
	number, _, _ := strings.Cut(rest, ")")
	pid, _ := strconv.Atoi(number)
	return pid
}

// WaitUp waits until a guest answers that is not the one of process old, and
// returns its kernel's.
func (m *Machine) WaitUp(old int) (pid int) {
	m.l.t.Helper()
	m.l.Wait(m.Name+" to be up", func() bool {
		pid = m.PID()
		return pid != 0 && pid != old && m.l.Ping(m.IP4)
	})
	return pid
}

// WaitDown waits until supervise has no order left and watches no process.
func (m *Machine) WaitDown() {
	m.l.t.Helper()
	m.l.Wait(m.Name+" to be down", func() bool { return m.heard() && strings.HasPrefix(m.Svstat(), "down") })
}

func (m *Machine) logFile() string { return filepath.Join(m.l.Dir, m.Name+".log") }

// Log is what the machine's start and its guest's console have said.
func (m *Machine) Log() string {
	m.l.t.Helper()
	text, err := os.ReadFile(m.logFile())
	if err != nil {
		m.l.t.Fatalf("lab: %v", err)
	}
	return string(text)
}

// WaitLog waits until the log holds text.
func (m *Machine) WaitLog(text string) {
	m.l.t.Helper()
	m.l.Wait(fmt.Sprintf("%q in the log of %s", text, m.Name), func() bool { return strings.Contains(m.Log(), text) })
}

// Tell has the guest's shell run a line that may end the guest: a second later,
// when nobody waits for its answer any more.
func (m *Machine) Tell(line string) {
	m.l.t.Helper()
	m.Guest("{ sleep 1; " + line + "; } </dev/null >/dev/null 2>&1 &")
}

// Guest has the guest's shell run a line, sent from the other host, and returns
// what it printed. A guest answers pings a moment before its shell listens: until
// then the connection is refused, and tried again.
func (m *Machine) Guest(line string) (out string) {
	m.l.t.Helper()
	m.l.Wait("a shell in "+m.Name, func() bool {
		ctx, cancel := context.WithTimeout(m.l.t.Context(), Patience)
		defer cancel()
		cmd := m.l.Cmd(ctx, "/", "ip", "netns", "exec", "other", "busybox", "nc", m.IP4, shellPort)
		cmd.Stdin = strings.NewReader(line + "\n")
		r := m.l.finish(cmd)
		out = r.Out
		return r.Code == 0 || out != ""
	})
	return out
}

// Run runs a command on the host in the machine's directory.
func (m *Machine) Run(args ...string) Result {
	m.l.t.Helper()
	return m.l.RunIn(m.Dir, args...)
}

// Proc is the path, from outside, of a file in /proc as the host has it.
func (l *Lab) Proc(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(l.PID), "root/proc", strconv.Itoa(pid), file)
}

// Kill sends a signal to a process of the host.
func (l *Lab) Kill(pid int, signal syscall.Signal) {
	l.t.Helper()
	l.Must("kill", "-"+strconv.Itoa(int(signal)), strconv.Itoa(pid))
}

// A Status is a process's /proc/PID/status.
type Status map[string]string

// Int is the first number of a field.
func (s Status) Int(field string) int {
	first, _, _ := strings.Cut(s[field], "\t")
	n, _ := strconv.Atoi(first)
	return n
}

// Status is what the host's /proc says of a process; empty if there is none.
func (l *Lab) Status(pid int) Status {
	s := Status{}
	text, _ := os.ReadFile(l.Proc(pid, "status"))
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		s[name] = strings.TrimSpace(value)
	}
	return s
}

// Processes lists the host's processes that are of a kind, zombies too.
func (l *Lab) Processes(kind func(Status) bool) (pids []int) {
	l.t.Helper()
	names, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(l.PID), "root/proc/[0-9]*"))
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		if s := l.Status(pid); len(s) > 0 && kind(s) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Machined is a machine that a program of the suite has made.
func (l *Lab) Machined(name string) *Machine {
	l.t.Helper()
	m := &Machine{Name: name, Dir: filepath.Join(l.Machines, name), l: l}
	m.Jail = filepath.Join(m.Dir, "jail")
	m.UID, _ = strconv.Atoi(strings.TrimSpace(l.Must("id", "-u", name)))
	if lines := strings.Fields(l.Run("cat", filepath.Join(m.Dir, "settings/ip4")).Out); len(lines) > 0 {
		m.IP4, _, _ = strings.Cut(lines[0], "/")
	}
	return m
}
