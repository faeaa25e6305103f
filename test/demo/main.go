// Command demo shows on the terminal what the suite does, with real parts, in a
// lab of its own that is gone afterwards. With -keep it stays.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"uml/test/lab"
)

const address = "192.0.2.20"

func main() {
	keep := flag.Bool("keep", false, "leave the lab running")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) { story(t, *keep) }))
}

func story(t lab.TB, keep bool) {
	l := lab.New(t)
	show := func(title string, args ...string) {
		fmt.Printf("\n\033[1m# %s\033[0m\n$ %s\n", title, strings.ReplaceAll(strings.Join(args, " "), l.Dir, ""))
		r := l.Run(args...)
		fmt.Print(strings.ReplaceAll(r.Out+r.Err, l.Dir, ""))
	}
	fmt.Println("A host and, behind a router, another host: two network namespaces.")
	m := l.Machine("alice", lab.Settings{"ip4": address})

	show("A guest is a directory", "tree", "-pugsh", "--noreport", m.Dir)
	show("All that is set; the rest are defaults", "grep", "-r", "", filepath.Join(m.Dir, "settings"))
	if _, err := os.Stat(filepath.Join(l.Bin, "uml-check")); err == nil {
		show("May it start?", "uml-check", m.Name)
	}

	say("Linked into the service directory, it starts under supervise, and its console is the log")
	m.Activate()
	pid := m.WaitUp(0)
	m.WaitLog("guest up")
	fmt.Print(ends(m.Log()))

	fmt.Println("\nThe other host asks the guest:")
	fmt.Print(l.MustOther("ping", "-n", "-c2", "-i0.2", address))
	show("What supervise watches is the guest's kernel itself", "svstat", filepath.Join(l.Service, "uml-alice"))
	id := strconv.Itoa(pid)
	show("It runs as its user, without any capability", "grep", "-E", "^(Name|Uid|Gid|Groups|Cap...|NoNewPrivs):", "/proc/"+id+"/status")
	show("Its root, as the host sees it", "ls", "-l", "/proc/"+id+"/root/", "/proc/"+id+"/root/dev")
	show("Its mounts: none of them is the host's", "cut", "-d ", "-f2,3,4", "/proc/"+id+"/mounts")
	show("The network that it was given", "sh", "-c", "ip route show dev tap_alice; ip neigh show proxy")
	if keep {
		leave(l, m)
		return
	}

	say("Its kernel is killed, as a crash would")
	l.Kill(pid, syscall.SIGKILL)
	m.WaitUp(pid)
	fmt.Print(own(m.Log()))
	show("It came back by itself, another process", "svstat", filepath.Join(l.Service, "uml-alice"))

	say("The end: svc -d")
	m.Svc("-d")
	m.WaitDown()
	m.Svc("-x")
	show("Nothing of it runs", "ps", "-e", "-o", "user,pid,args")
	if mounts := l.Must("cat", "/proc/mounts"); !strings.Contains(mounts, "/uml ") {
		fmt.Println("Nothing of it is mounted.")
	}
	l.Close()
	if _, err := os.Stat(l.Dir); err != nil {
		fmt.Println("The lab is gone: its namespaces, its accounts, its directory.")
	}
}

func say(title string) { fmt.Printf("\n\033[1m# %s\033[0m\n", title) }

// ends is a long log without its middle.
func ends(log string) string {
	lines := strings.SplitAfter(strings.TrimSpace(log), "\n")
	if len(lines) > 16 {
		lines = append(append(lines[:6:6], "...\n"), lines[len(lines)-10:]...)
	}
	return strings.Join(lines, "") + "\n"
}

// own are the lines of a log that the suite wrote.
func own(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "uml-run: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func leave(l *lab.Lab, m *lab.Machine) {
	l.Keep()
	shell := append(l.Enter(m.Dir), "env", "UML_MACHINES="+l.Machines, "UML_HOST_SETTINGS="+l.HostSettings, "PATH="+l.Bin+":"+os.Getenv("PATH"), "bash")
	fmt.Printf(`
The lab goes on. A shell on its host:
  %s
In it, the other host asks the guest:   ip netns exec other ping %s
The guest's log:                        tail -f %s
Its end:                                svc -d %s
The end of everything:                  kill -KILL %d; rm -r %s
`, strings.Join(shell, " "), m.IP4, filepath.Join(l.Dir, m.Name+".log"), filepath.Join(l.Service, "uml-"+m.Name), l.PID, l.Dir)
}
