package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"uml/test/lab"
)

// estateLab is a host that makes machines of a template.
func estateLab(t *testing.T) (l *lab.Lab, image string) {
	t.Helper()
	l = lab.New(t)
	l.OwnEtc()
	return l, l.Template("small", nil)
}

// made is the report of a machine that was made.
type made struct {
	Name, Dir, Account, Password, Network, Device string
	MachineID                                     string `json:"machine_id"`
	UID                                           int
	Addresses, Notes                              []string
	Activated                                     bool
	HostKeys                                      []struct{ Kind, Fingerprint, Public string } `json:"host_keys"`
	Seconds                                       float64
}

// newMachine makes one, and says how it was reported.
func newMachine(t *testing.T, l *lab.Lab, args ...string) (m made) {
	t.Helper()
	out := l.Must(append([]string{"uml-machine", "-q"}, append(args, "--json")...)...)
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return m
}

// inGuest runs a command in a guest by ssh with the lab's key, from the other host.
func inGuest(t *testing.T, l *lab.Lab, m made, command string) string {
	t.Helper()
	known := filepath.Join(l.Dir, m.Name+".known")
	var lines strings.Builder
	for _, k := range m.HostKeys {
		lines.WriteString(m.Addresses[0] + " " + k.Public + "\n")
	}
	if err := os.WriteFile(known, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var r lab.Result
	l.Wait("ssh into "+m.Name, func() bool {
		r = l.Other("ssh", "-F", "none", "-i", l.Key(), "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=none",
			"-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5", "root@"+m.Addresses[0], command)
		return r.Code == 0
	})
	return r.Out
}

// The paper's 2.4: two guests of one template have nothing in common that no two guests may have,
// and root gets in by his key alone, through the network.
func TestNew(t *testing.T) {
	t.Parallel()
	l, image := estateLab(t)
	key := l.Key() + ".pub"
	a := newMachine(t, l, "new", "anna", "--template", "small", "--cow", "--swap", "16M", "--ip4", "192.0.2.21", "--ip6", "2001:db8:1::/64", "--key", key, "--set", "con2=pts")
	b := newMachine(t, l, "new", "bert", "--template", "small", "--disc", "96M", "--ip4", "192.0.2.22", "--key", key)
	conf := filepath.Join(l.Dir, "radvd.conf")
	l.SetHost("radvd-conf", conf)
	l.Must("uml-net", "radvd")
	l.Must("radvd", "-C", conf, "-m", "logfile", "-l", filepath.Join(l.Dir, "radvd.log"))
	for _, m := range []made{a, b} {
		machine := l.Machined(m.Name)
		machine.Activate()
		machine.WaitUp(0)
	}
	one := inGuest(t, l, a, "cat /etc/machine-id /etc/hostname /etc/hosts /etc/fstab /etc/inittab; ls /root/.bash_history /var/log/messages; df -k /; cat /proc/swaps; grep root /etc/shadow; hostname")
	two := inGuest(t, l, b, "cat /etc/machine-id; df -k /; ls -l /root/.ssh/authorized_keys")
	for _, want := range []string{a.MachineID, "\nanna\n", "192.0.2.21\tanna", "127.0.0.1 localhost", "198.51.100.7 archive", "/dev/ubda\t/\t", "/dev/ubdp\tnone\tswap", "tty2::respawn:/sbin/getty", "/dev/ubdp", "root:*:"} {
		if !strings.Contains(one, want) {
			t.Errorf("anna: no %q in\n%s", want, one)
		}
	}
	for _, bad := range []string{"/root/.bash_history", "/var/log/messages", "127.0.1.1", "old", "/dev/hda"} {
		if strings.Contains(one, bad) {
			t.Errorf("anna: %q in\n%s", bad, one)
		}
	}
	if !strings.Contains(two, b.MachineID) || a.MachineID == b.MachineID || !strings.Contains(two, "-rw-------") {
		t.Errorf("bert: %s; anna's id %s", two, a.MachineID)
	}
	blocks := 0
	if f := strings.Fields(two[strings.Index(two, "/dev/root"):]); len(f) > 1 {
		blocks, _ = strconv.Atoi(f[1])
	}
	if blocks < 75<<10 || blocks > 96<<10 {
		t.Errorf("bert's root of 96M: %s", two)
	}
	for _, address := range a.Addresses[1:] { // ::2, and the one that it makes itself
		l.Wait(address, func() bool { return l.Run("ping", "-n", "-q", "-c1", "-W1", address).Code == 0 })
	}
	if len(a.HostKeys) != 3 || a.HostKeys[0].Fingerprint == b.HostKeys[0].Fingerprint {
		t.Errorf("host keys: %+v, %+v", a.HostKeys, b.HostKeys)
	}
	if n := l.Must("sh", "-c", "uml-check anna bert | grep -c FAIL || :"); n != "0\n" {
		t.Errorf("uml-check: %s", l.Run("uml-check", "anna", "bert").Out)
	}
	if got := l.Must("sha256sum", image); got != l.Must("sha256sum", image) || read(t, filepath.Join(a.Dir, "settings/ubd0")) != "ubd0,"+image+"\n" {
		t.Errorf("%s", read(t, filepath.Join(a.Dir, "settings/ubd0")))
	}
}

// Without a key root has a password that is printed once, or the one that is given, and it is in no
// argument list; what is in the guest's shadow is what crypt(3) makes of it.
func TestNewPassword(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	a := newMachine(t, l, "new", "anna", "--template", "small")
	b := newMachine(t, l, "new", "bert", "--template", "small", "--key", l.Key()+".pub")
	out := l.Must("sh", "-c", `echo "two words" | uml-machine -q new carl --template small --password-fd 0`)
	hash := func(name string) string {
		line := l.Must("sh", "-c", `debugfs -R "cat /etc/shadow" $UML_MACHINES/$0/jail/ubd0 2>/dev/null | grep ^root:`, name)
		return strings.Split(line, ":")[1]
	}
	crypt := func(password, salt string) string {
		return l.Must("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, salt)
	}
	if h := hash("anna"); a.Password == "" || crypt(a.Password, h) != h || !strings.HasPrefix(h, "$6$") {
		t.Errorf("anna: %q, %s", a.Password, h)
	}
	if h := hash("bert"); b.Password != "" || h != "*" {
		t.Errorf("bert: %q, %s", b.Password, h)
	}
	if h := hash("carl"); crypt("two words", h) != h || strings.Contains(out, "password") {
		t.Errorf("carl: %s, %s", h, out)
	}
}

// The account of all logs is made once, by whoever is first: a second useradd(8) at the same time
// would give it another number, and the first machine's log would belong to nobody.
func TestNewTogether(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	wrapped, calls := filepath.Join(l.Dir, "wrapped"), filepath.Join(l.Dir, "calls")
	l.Must("sh", "-ec", `mkdir $0; printf '#!/bin/sh\ncase "$*" in *umllog) echo >>%s; sleep 10;; esac\nexec /usr/sbin/useradd "$@"\n' $1 >$0/useradd; chmod 755 $0/useradd`, wrapped, calls)
	names := []string{"anna", "bert", "carl"}
	var work sync.WaitGroup
	for _, name := range names {
		work.Go(func() {
			l.Run("sh", "-c", `PATH=$0:$PATH exec uml-machine -q new $1 --template small --cow`, wrapped, name)
		})
	}
	work.Wait()
	for _, name := range names {
		if owner := l.Must("stat", "-c", "%U:%G", filepath.Join(l.Machines, name, "log/main")); owner != "umllog:umllog\n" {
			t.Errorf("%s's log is of %s", name, owner)
		}
	}
	if n := len(read(t, calls)); n != 1 {
		t.Errorf("useradd made it %d times", n)
	}
}
