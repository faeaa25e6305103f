package test

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Killed anywhere, remove goes on when it is said again, or gc does: the machine is whole, or gone
// with its account.
func TestRemoveKilled(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	l.Must("useradd", "--system", "--user-group", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "umllog")
	before := estateOf(l)
	seed := time.Now().UnixNano()
	random := rand.New(rand.NewSource(seed))
	t.Logf("seed %d", seed)
	whole := 0
	for range rounds(t) {
		l.Must("uml-machine", "-q", "new", "anna", "--template", "small", "--cow", "--ip4", "192.0.2.21")
		wait := random.Float64() * 0.25
		l.Must("sh", "-c", `uml-machine remove anna --yes >/dev/null 2>&1 & p=$!; sleep $0; kill -9 $p; wait
			while pgrep -x 'userdel|groupdel|uml-machine' >/dev/null; do sleep 0.02; done`, fmt.Sprintf("%.4f", wait))
		if l.Run("test", "-d", l.Machines+"/anna").Code == 0 {
			whole++
			if r := l.Run("uml-check", "anna"); strings.Contains(r.Out, "FAIL") {
				t.Errorf("killed after %.4f s: %s", wait, r.Out)
			}
		}
		if r := l.Run("uml-machine", "remove", "anna", "--yes"); r.Code != 0 && !strings.Contains(r.Err, "there is no such machine") {
			t.Fatalf("killed after %.4f s: %+v", wait, r)
		}
		if got := estateOf(l); got != before {
			same(t, before, got)
			t.Fatalf("killed after %.4f s", wait)
		}
	}
	t.Logf("%d of %d were whole", whole, rounds(t))
}

// Killed anywhere, a rename is taken back or done by gc, or by saying it again: there is one machine,
// whole, with its disc and its account.
func TestRenameKilled(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	l.Must("uml-machine", "-q", "new", "anna", "--template", "small", "--cow", "--ip4", "192.0.2.21")
	seed := time.Now().UnixNano()
	random := rand.New(rand.NewSource(seed))
	t.Logf("seed %d", seed)
	from, to := "anna", "bert"
	renamed := 0
	for i := range rounds(t) {
		wait := random.Float64() * 1.4
		l.Must("sh", "-c", `uml-machine -q rename $1 $2 >/dev/null 2>&1 & p=$!; sleep $0; kill -9 $p; wait
			while pgrep -x 'usermod|groupmod|uml-machine' >/dev/null; do sleep 0.02; done`, fmt.Sprintf("%.4f", wait), from, to)
		if i%2 == 0 {
			l.Must("uml-machine", "gc")
		} else if r := l.Run("uml-machine", "-q", "rename", from, to); r.Code != 0 && !strings.Contains(r.Err, "no such machine") {
			t.Fatalf("killed after %.4f s: %+v", wait, r)
		}
		name := from
		if l.Run("test", "-d", filepath.Join(l.Machines, to)).Code == 0 {
			name, from, to = to, to, from
			renamed++
		}
		want := fmt.Sprintf("%s\n%s\n%s/%s\n%s\n", name, name, l.Machines, name, "ubd0")
		if got := l.Must("sh", "-ec", `ls $UML_MACHINES; ls -A $UML_MACHINES/.new; id -gn $0; getent passwd $0 | cut -d: -f6; ls $UML_MACHINES/$0/jail`, name); got != want {
			t.Fatalf("killed after %.4f s: got\n%swant\n%s", wait, got, want)
		}
		if r := l.Run("uml-check", name); strings.Contains(r.Out, "FAIL") {
			t.Fatalf("killed after %.4f s: %s", wait, r.Out)
		}
	}
	t.Logf("%d of %d were renamed", renamed, rounds(t))
	m := l.Machined(from)
	m.Activate()
	m.WaitUp(0)
}

// What a guest has made of its filesystem and a customer of his jail does nothing to the host: a copy
// is of what is his, fit changes nothing outside, and remove follows no link.
func TestHostileEstate(t *testing.T) {
	t.Parallel()
	l, _ := estateLab(t)
	l.Template("nasty", map[string]string{"etc/dropbear/x": "x"})
	tree := filepath.Join(l.Dir, "nasty.tree")
	l.Must("sh", "-ec", `cd $0
		rm -rf etc/fstab etc/hosts etc/machine-id etc/resolv.conf var/log tmp root/.ssh
		ln -s /../../../../../../etc/passwd etc/hosts; mkfifo etc/fstab; ln -s /dev/ubda etc/machine-id; ln -s ../../../../.. var/log; ln -s / tmp
		mknod etc/resolv.conf b 98 0; ln -s loop etc/loop; ln -s /etc/shadow root/.ssh
		i=0; mkdir -p var/tmp; while [ $i -lt 3000 ]; do : >var/tmp/f$i; i=$((i+1)); done; d=var/tmp; for i in $(seq 60); do d=$d/d; done; mkdir -p $d`, tree)
	l.TemplateOf("nasty2", tree, "64M")
	const look = "grep -v -e ^umllog: /etc/passwd /etc/shadow; md5sum /etc/hosts /etc/machine-id /etc/resolv.conf 2>&1; ls -a / /etc /root; ls /var/log | wc -l"
	before := l.Must("sh", "-c", look)
	r := machine(l, "new", "nasty", "--template", "nasty2", "--key", l.Key()+".pub", "--ip4", "192.0.2.77")
	if r.Code != 100 || !strings.Contains(r.Err, "fstab: /etc/fstab: is no regular file") {
		t.Errorf("%+v", r)
	}
	l.Must("sh", "-c", "cd $0 && rm etc/fstab && touch etc/fstab && rm etc/hosts && echo x >etc/hosts", tree)
	l.TemplateOf("nasty3", tree, "64M")
	if r := machine(l, "new", "nasty", "--template", "nasty3", "--key", l.Key()+".pub"); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	if got := l.Must("debugfs", "-R", "stat /etc/machine-id", l.Machines+"/nasty/jail/ubd0"); !strings.Contains(got, "Type: regular") {
		t.Errorf("%s", got)
	}
	jail := filepath.Join(l.Machines, "nasty/jail")
	l.Must("sh", "-ec", `cd $0; touch /run/secret; chmod 600 /run/secret; ln -s /run/secret ubd1; mkfifo ubd2; ln -s / root; ln -s /etc dir; chown -h nasty ubd1 ubd2 root dir`, jail)
	r = machine(l, "copy", "nasty", "copy")
	if r.Code != 100 || !strings.Contains(r.Err, "ubd1") || !strings.Contains(r.Err, "ubd2") {
		t.Errorf("%+v", r)
	}
	l.Must("sh", "-ec", `cd $0; rm ubd1 ubd2; ln /run/secret ubd1 2>/dev/null || cp -p /run/secret ubd1`, jail)
	if r := machine(l, "copy", "nasty", "copy"); r.Code != 100 || !strings.Contains(r.Err, "ubd1") {
		t.Errorf("a file of root's: %+v", r)
	}
	l.Must("rm", jail+"/ubd1")
	if r := machine(l, "copy", "nasty", "copy"); r.Code != 0 || strings.Contains(l.Must("ls", l.Machines+"/copy/jail"), "root") {
		t.Errorf("%+v", r)
	}
	holder := l.Cmd(t.Context(), "/", "setpriv", "--reuid=nasty", "--clear-groups", "sleep", "1000")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	l.Wait("a process of nasty", func() bool { return l.Run("pgrep", "-u", "nasty").Code == 0 })
	refusedBy(t, "uml-machine", machine(l, "remove", "nasty", "--yes"), 111, "has processes")
	l.Must("sh", "-c", "kill $(pgrep -u nasty sleep)")
	holder.Wait()
	l.Must("uml-machine", "remove", "nasty", "--yes")
	l.Must("uml-machine", "remove", "copy", "--yes")
	l.Must("test", "-f", "/run/secret")
	same(t, before, l.Must("sh", "-c", look))
}
