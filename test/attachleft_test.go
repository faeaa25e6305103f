package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/inject"
	"uml/test/lab"
)

// disturbed: an attach that is killed, or is not answered, or meets another one
// leaves nothing that the next cannot mend, and no disc that the guest has unlocked.
func disturbed(t *testing.T, l *lab.Lab, m *lab.Machine, attach func(...string) lab.Result) {
	t.Helper()
	l.Must("sh", "-ec", "cd $0; for n in one two; do echo $n >$n; truncate -s 1M $n; chown guest: $n; done; ln one uml/one; uml_mkcow pair /run/backing; chown guest: pair", m.Jail)
	refusedBy(t, "uml-ctl", attach("attach", "guest", "ubd4", "ubd0"), 100, "ubd0: is ubd0 of the guest already")
	refusedBy(t, "uml-ctl", attach("attach", "guest", "ubd4", "uml/one"), 100, "uml/one: has 2 names")
	l.Must("rm", m.Jail+"/uml/one")

	said := filepath.Join(l.Dir, "said")
	host, err := inject.Start(l.Cmd(context.Background(), m.Dir, inject.Command()...))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	run := func(point string, errno unix.Errno) inject.Result {
		t.Helper()
		r, err := host.Run(inject.Plan{
			Dir: m.Dir, Output: said, Args: []string{filepath.Join(l.Bin, "uml-ctl"), "--timeout", "2m", "attach", "guest", "ubd4", "pair,/run/backing"},
			Point: point, Errno: errno, List: point == "", Timeout: lab.Patience,
		})
		if err != nil || r.Hung || !r.Met && point != "" {
			t.Fatalf("attach with %q: %+v, %v; it said %s", point, r.Status, err, read(t, said))
		}
		return r
	}
	points := run("", 0).Points
	last := func(call string) string {
		of := slices.DeleteFunc(slices.Clone(points), func(p string) bool { return !strings.HasPrefix(p, call+" ") })
		if len(of) == 0 {
			t.Fatalf("no %s in\n%s", call, strings.Join(points, "\n"))
		}
		return of[len(of)-1]
	}
	detach := func() { t.Helper(); l.Must("uml-ctl", "--timeout", "2m", "detach", "guest", "ubd4") }
	detach()

	// Killed when it has given the first of two locks.
	run(last("sendmsg"), 0)
	detach()
	l.Must("uml-ctl", "--timeout", "2m", "attach", "guest", "ubd7", "pair,/run/backing")
	l.Must("uml-ctl", "--timeout", "2m", "detach", "guest", "ubd7")
	run(last("sendmsg"), 0)
	l.Must("uml-ctl", "--timeout", "2m", "attach", "guest", "ubd4", "pair,/run/backing")
	detach()

	// The guest has it, and the answer is lost.
	run(last("recvmsg"), unix.EIO)
	if got := read(t, said); !strings.Contains(got, "ubd4 stays locked for it (try: uml-ctl detach guest ubd4)") {
		t.Errorf("with no answer it said %q", got)
	}
	refusedBy(t, "uml-ctl", attach("attach", "guest", "ubd7", "pair,/run/backing"), 111, "pair: the disc is locked")
	detach()

	// Two at once: one is told that the other was first, and the guest has what that gave.
	for i := range 4 {
		l.Must("sh", "-c", "for n in one two; do (uml-ctl --timeout 2m attach guest ubd4 $n 2>$n.err; echo $? >$n.code) & done; wait")
		code := func(n string) string { return strings.TrimSpace(read(t, filepath.Join(l.Dir, n+".code"))) }
		won, lost := "one", "two"
		if code(won) != "0" {
			won, lost = lost, won
		}
		equal(t, code(won)+" "+code(lost), "0 100")
		equal(t, strings.TrimSpace(m.Guest("head -n1 /dev/ubde")), won)
		l.Must("uml-ctl", "--timeout", "2m", "attach", "guest", "ubd7", lost)
		l.Must("uml-ctl", "--timeout", "2m", "detach", "guest", "ubd7")
		l.Wait(fmt.Sprintf("the disc to be let go (%d)", i), func() bool { return attach("detach", "guest", "ubd4").Code == 0 })
	}
	for _, n := range []string{"one", "two", "pair"} {
		os.Remove(filepath.Join(m.Jail, n))
	}
}
