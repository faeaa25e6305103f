package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"uml/test/lab"
)

// full is the way from an empty host to a guest that answers ssh, in the README's commands.
func full(t lab.TB) {
	l := lab.New(t)
	l.OwnEtc()
	key := l.Key()
	run := func(title, line string, in func(...string) lab.Result) {
		say(title)
		fmt.Println("$ " + line)
		r := in("bash", "-c", strings.NewReplacer("~/.ssh/id_ed25519", key, " /service", " "+l.Service).Replace(line))
		tell(strings.ReplaceAll(r.Out+r.Err, l.Dir, ""))
		if r.Code != 0 {
			t.Fatalf("demo: exit %d", r.Code)
		}
	}
	if err := os.WriteFile(filepath.Join(l.Dir, "svscan"), []byte("#!/bin/sh\nsvscan "+l.Service+" </dev/null >/dev/null 2>&1 &\n"), 0o755); err != nil {
		t.Fatalf("demo: %v", err)
	}
	l.Must(filepath.Join(l.Dir, "svscan"))

	run("The kernel that guests are to run, from Debian's package", "uml-kernel add user-mode-linux debian; uml-kernel list", l.Run)
	run("A template, of Debian's packages as they are today", "uml-template build bookworm debian:bookworm; uml-template list", l.Online)
	run("A machine of it", "uml-machine new alice --template bookworm --cow --mem 128M --ip4 "+address+" --key ~/.ssh/id_ed25519.pub --activate", l.Run)
	say("The other host logs in")
	const command = "head -n 1 /etc/os-release; hostname; uname -r; df -h /; systemctl is-system-running --wait"
	fmt.Println("$ ssh root@" + address + " '" + command + "'")
	ssh := []string{"ssh", "-F", "none", "-q", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5"}
	var r lab.Result
	l.Wait("ssh", func() bool {
		r = l.Other(append(ssh, "root@"+address, command)...)
		return r.Code == 0
	})
	tell(r.Out)
	run("What it took of the host's disc", "du -h /machines/alice/jail/ubd0 $UML_TEMPLATES/*.img", func(args ...string) lab.Result {
		args[2] = strings.ReplaceAll(args[2], " /machines", " "+l.Machines)
		return l.Run(args...)
	})
	run("The end of it", "uml-ctl deactivate alice; uml-machine remove alice --yes; getent passwd alice || echo no account alice", l.Run)
}
