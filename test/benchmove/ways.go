package main

import (
	"bufio"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// ours is stopped between the first pass and the next.
func (b *bench) ours(g *turn) {
	stop := b.resident("uml-machine", &g.client, &g.server)
	cmd := b.west.Cmd(b.t.Context(), "/", "uml-machine", "move", "--ssh", lab.RootSSH(b.west.Key()), g.m.Name, lab.EastIP4)
	says, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatalf("bench-move: %v", err)
	}
	var said strings.Builder
	var seen chan struct{}
	for lines := bufio.NewScanner(says); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if seen == nil && strings.Contains(lines.Text(), "both have the same") {
			unix.Kill(-cmd.Process.Pid, unix.SIGSTOP)
			g.passed(filepath.Join(b.east.Machines, ".new", g.m.Name, "jail/ubd0"))
			seen = g.watch()
			unix.Kill(-cmd.Process.Pid, unix.SIGCONT)
		}
	}
	if err := cmd.Wait(); err != nil || seen == nil {
		b.t.Fatalf("bench-move: %v\n%s", err, said.String())
	}
	<-seen
	stop()
	kept := strings.TrimSpace(b.west.Must("sh", "-c", `find "$UML_MACHINES" -path "*`+g.m.Name+`.moved-*/jail/ubd0"`))
	g.done(kept)
}

// byHand is what an administrator does without uml-machine move: all that can be done before is done while
// the guest runs.
func (b *bench) byHand(g *turn) {
	stop := b.resident("rsync", &g.client, &g.server)
	name, dir, ssh := g.m.Name, g.m.Dir, b.hand+" root@"+lab.EastIP4+" "
	there := filepath.Join(b.east.Machines, name)
	run := func(script string) { b.west.Must("sh", "-ec", script) }
	disc := `rsync -S --inplace -e "` + b.hand + `" -o -g -p -t ` + dir + "/jail/ubd0 root@" + lab.EastIP4 + ":" + there + "/jail/"
	run(ssh + "useradd --system --user-group --no-create-home --home-dir " + there + " --shell /usr/sbin/nologin " + name)
	run(`rsync -a --exclude /jail/ubd0 --exclude /lock --exclude /supervise -e "` + b.hand + `" ` + dir + "/ root@" + lab.EastIP4 + ":" + there + "/")
	run(disc)
	g.passed(filepath.Join(there, "jail/ubd0"))
	seen := g.watch()
	run("uml-ctl stop " + name)
	run(disc)
	b.east.Must("uml-ctl", "activate", name)
	<-seen
	stop()
	g.done(g.disc())
}
