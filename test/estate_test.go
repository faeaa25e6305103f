package test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"uml/test/lab"
)

// machine runs uml-machine.
func machine(l *lab.Lab, args ...string) lab.Result {
	return l.Run(append([]string{"uml-machine", "-q"}, args...)...)
}

// estate is what uml-machine may leave nothing of: names in the machines root and the service
// directory, accounts, mounts, processes that are no test's.
func estateOf(l *lab.Lab) string {
	return l.Must("sh", "-ec", `ls -A "$UML_MACHINES" "$UML_MACHINES/.new" 2>/dev/null | grep -v -e '^$' -e :$ -e '^\.new$' || :
		ls -A "$UML_SERVICE"
		grep -v ^umllog: /etc/passwd; grep -v ^umllog: /etc/group
		cat /proc/self/mountinfo | cut -d' ' -f5 | sort
		find /run -path '/run/uml-appliance-*' -type f
		ps -eo comm= | grep -e linux -e useradd -e uml-run || :`)
}

// A machine's whole life, at each end of which nothing is left that should not be.
func TestEstate(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	before := estateOf(l)
	key := l.Key() + ".pub"
	a := newMachine(t, l, "new", "anna", "--template", "small", "--ip4", "192.0.2.21", "--ip6", "2001:db8:0:1::/64", "--key", key, "--activate")
	if link, err := os.Readlink(filepath.Join(l.Service, "uml-anna")); err != nil || link != a.Dir || !a.Activated {
		t.Errorf("%q, %v, %v", link, err, a.Activated)
	}
	l.Must("rm", filepath.Join(l.Service, "uml-anna"))
	m := l.Machined("anna")
	m.Activate()
	m.WaitUp(0)
	for _, args := range [][]string{{"remove", "anna", "--yes"}, {"copy", "anna", "bert"}, {"rename", "anna", "bert"}} {
		refusedBy(t, "uml-machine", machine(l, args...), 111, "its guest runs")
	}
	inGuest(t, l, a, "echo customer >/root/data; sync")
	l.Must("uml-ctl", "stop", "anna")
	m.WaitDown()

	b := newMachine(t, l, "copy", "anna", "bert", "--ip4", "192.0.2.22", "--key", key)
	if b.MachineID == a.MachineID || len(b.HostKeys) != 3 || b.HostKeys[0].Public == a.HostKeys[0].Public {
		t.Errorf("anna %+v\nbert %+v", a, b)
	}
	mb := l.Machined("bert")
	mb.Activate()
	mb.WaitUp(0)
	if got := inGuest(t, l, b, "cat /root/data /etc/hostname /etc/machine-id; grep -c . /root/.ssh/authorized_keys; cat /etc/hosts"); !strings.Contains(got, "customer\nbert\n"+b.MachineID+"\n1\n") || strings.Contains(got, "anna") {
		t.Errorf("bert: %s", got)
	}
	l.Must("uml-ctl", "stop", "bert") // and its link and its supervisor are there when it is removed
	mb.WaitDown()

	if r := machine(l, "rename", "anna", "bert"); r.Code != 100 || !strings.Contains(r.Err, `account "bert" is there already`) {
		t.Errorf("%+v", r)
	}
	l.Must("uml-machine", "-q", "rename", "anna", "carl")
	if got := l.Must("sh", "-c", "getent passwd carl; id -gn carl; ls $UML_MACHINES; ls -A $UML_MACHINES/.new $UML_SERVICE"); !strings.Contains(got, filepath.Join(l.Machines, "carl")) || strings.Contains(got, "anna") {
		t.Errorf("renamed: %s", got)
	}
	a.Name = "carl"
	mc := l.Machined("carl")
	mc.Activate()
	mc.WaitUp(0)
	if got := inGuest(t, l, a, "hostname; cat /etc/hosts /root/data"); !strings.HasPrefix(got, "carl\n") || !strings.Contains(got, "192.0.2.21\tcarl") || !strings.Contains(got, "customer") {
		t.Errorf("carl: %s", got)
	}
	l.Must("uml-ctl", "deactivate", "carl")

	refusedBy(t, "uml-machine", machine(l, "remove", "carl"), 100, "say --yes")
	// Nor is it kept by what a killed new one of that name has left, or by who locks its directory.
	l.Must("mkdir", "-p", l.Machines+"/.new/bert/jail")
	l.Must("sh", "-c", "setpriv --reuid=65534 --clear-groups flock --no-fork -x $0 sleep 1000 & until flock -n $0 true; [ $? = 1 ]; do :; done", l.Machines+"/bert")
	l.Must("uml-machine", "remove", "bert", "--yes")
	l.Must("ln", "-s", "/etc", filepath.Join(mc.Jail, "etc"))
	l.Must("uml-machine", "remove", "carl", "--yes", "--keep-discs")
	if got := l.Must("sh", "-c", "ls $UML_MACHINES/.kept/*/jail; stat -c %u $UML_MACHINES/.kept/*/jail/ubd0; ls /etc/passwd; cat $UML_MACHINES/.kept/*/settings/ip4"); got != "ubd0\n0\n/etc/passwd\n192.0.2.21\n" {
		t.Errorf("kept: %q", got)
	}
	refusedBy(t, "uml-machine", machine(l, "remove", "carl", "--yes"), 100, "no such machine")
	l.Must("rm", "-r", l.Machines+"/.kept")
	equal(t, estateOf(l), before)
	equal(t, l.Must("uml-machine", "gc"), "")

	// An account that somebody has made of the same name is not the one of the note.
	l.Must("sh", "-ec", `useradd --system --home-dir /home/dora dora; d=$UML_MACHINES/.new/dora; mkdir -p $d/jail
		echo "{\"Account\": \"dora\", \"Home\": \"$UML_MACHINES/dora\"}" >$d/.uml-machine`)
	if r := machine(l, "new", "dora", "--template", "small"); r.Code != 100 || !strings.Contains(r.Err, `account "dora" is there already`) {
		t.Errorf("%+v", r)
	}
	equal(t, l.Must("sh", "-c", "getent passwd dora | cut -d: -f6; ls -A $UML_MACHINES/.new"), "/home/dora\n")
}

// Killed anywhere, new leaves nothing that gc, or the next new of that name, does not remove: no
// account, no directory, no mount, no process. What it has finished is a whole machine.
func TestNewKilled(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	l.Must("useradd", "--system", "--user-group", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "umllog")
	before := estateOf(l)
	seed := time.Now().UnixNano()
	random := rand.New(rand.NewSource(seed))
	t.Logf("seed %d", seed)
	whole := 0
	for i := range rounds(t) {
		wait := random.Float64() * 2.5
		l.Must("sh", "-c", `uml-machine -q new anna --template small --cow --ip4 192.0.2.21 >/dev/null 2>&1 & p=$!; sleep $1; kill -9 $p; wait
			while pgrep -x "useradd|userdel|groupdel|uml-machine" >/dev/null; do sleep 0.02; done`, // which nobody should kill: by its own name or not yet
			"sh", fmt.Sprintf("%.4f", wait))
		if i%2 == 0 || i == rounds(t)-1 {
			if r := l.Run("uml-machine", "gc"); r.Code != 0 {
				t.Fatalf("killed after %.4f s: gc: %+v", wait, r)
			}
		}
		if l.Run("test", "-d", l.Machines+"/anna").Code == 0 {
			whole++
			if r := l.Run("uml-check", "anna"); strings.Contains(r.Out, "FAIL") {
				t.Errorf("killed after %.4f s: %s", wait, r.Out)
			}
			l.Must("uml-machine", "remove", "anna", "--yes")
		}
		if i%2 == 0 {
			if got := estateOf(l); got != before {
				same(t, before, got)
				t.Fatalf("killed after %.4f s", wait)
			}
		}
	}
	t.Logf("%d of %d were whole", whole, rounds(t))
}

// rounds is how often: ROUNDS of the environment, or a few.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		return 8
	}
	return n
}
