package main

import (
	"fmt"
	"path/filepath"
	"time"

	"uml/test/lab"
)

// ask compares a request with uml_mconsole's. Its answers come to an abstract socket,
// which a kernel in our jail cannot reach (Landlock); so it asks another kernel of
// the same image, run plainly beside the jail by the same user, with the same disc.
func (b *bench) ask() {
	m := b.Machine("guest", lab.Settings{})
	m.Activate()
	m.WaitLog("guest up")
	plain := filepath.Join(b.Dir, "plain")
	b.Must("sh", "-ec", `mkdir "$0"; chmod 777 "$0"; cp --sparse=always "$1/ubd0" "$0/ubd0"; cd "$0"
		TMPDIR=/dev/shm setsid "$1/linux" mem=64M umid=plain uml_dir="$0/" ubd0d="$0/ubd0" root=/dev/ubda con=null con0=null,fd:1 con1=null ssl=null noreboot </dev/null >log 2>&1 &`,
		plain, m.Jail)
	b.Wait("the plain kernel", func() bool { return b.Run("grep", "-q", "guest up", plain+"/log").Code == 0 })
	socket := filepath.Join(plain, "plain/mconsole")
	ours, theirs := []string{"uml-ctl", "version", "guest"}, []string{"uml_mconsole", socket, "version"}
	both := [][]string{ours, theirs, {"uml-ctl", "--version"}, {b.inside(), "nothing"}, {"/bin/true"}}
	took := b.run(both...)
	fmt.Println("version of a guest's kernel, wall time: median (least-most)")
	for i, name := range []string{"uml-ctl", "uml_mconsole", "uml-ctl --version: its start alone", "a Go program that does nothing", "one of C that does nothing"} {
		fmt.Printf("  %-34s %s\n", name, spread(took[i]))
	}
	fmt.Printf("uml-ctl to uml_mconsole: %.2f\n\n", ratio(median(took[0]), median(took[1])))
	b.proven(ours...)
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
