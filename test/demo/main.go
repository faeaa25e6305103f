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

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

const address = "192.0.2.20"

func main() {
	keep := flag.Bool("keep", false, "leave the lab running")
	whole := flag.Bool("full", false, "from an empty host to a guest that answers ssh, by a mirror of Debian's")
	flag.Parse()
	os.Exit(lab.Main(func(t lab.TB) {
		if *whole {
			full(t)
			return
		}
		story(t, *keep)
	}))
}

func story(t lab.TB, keep bool) {
	l := lab.New(t)
	show := func(title, line string) {
		say(title)
		fmt.Println("$ " + line)
		r := l.Run("bash", "-c", shown(l).Replace(line))
		// The guest's shell asks every terminal where its cursor is.
		tell(strings.NewReplacer(l.Dir, "", `\x1b[6n`, "").Replace(r.Out + r.Err))
	}
	fmt.Println("A host and, behind a router, another host: two network namespaces.")
	m := l.Machine("alice", lab.Settings{"ip4": address})

	show("A guest is a directory", "tree -pugsh --noreport /machines/alice")
	show("All that is set; the rest are defaults", "grep -H . /machines/alice/settings/*")
	show("May it start?", "uml-check alice")

	say("Linked into the service directory, it starts. Its console is the log:")
	m.Activate()
	pid := m.WaitUp(0)
	m.WaitLog("guest up")
	tell(ends(m.Log()))

	say("The other host asks the guest")
	tell(l.MustOther("ping", "-n", "-c2", "-i0.2", address))
	show("What supervise watches is the guest's kernel itself", "svstat /service/uml-alice")
	id := strconv.Itoa(pid)
	show("It runs as its user, without any capability", "grep -E '^(Name|Uid|Gid|Groups|Cap|NoNew)' /proc/"+id+"/status")
	show("Its root, as the host sees it", "cd /proc/"+id+"/root; ls -l . dev")
	show("Its mounts; none of them is seen outside", "cut -d' ' -f2-4 /proc/"+id+"/mounts | sed 's/,relatime.*//'")
	show("The network that it was given", "ip route show dev tap_alice; ip neigh show proxy")
	show("Its console; at a terminal ~. leaves it", "echo 'tty; echo shell $$' | uml-ctl console alice")
	show("The same shell is there for who comes next", "echo 'echo shell $$' | uml-ctl console alice")
	if keep {
		leave(l, m)
		return
	}

	say("Its kernel is killed, as a crash would")
	l.Kill(pid, syscall.SIGKILL)
	m.WaitUp(pid)
	tell(own(m.Log()))
	show("It came back by itself, another process", "svstat /service/uml-alice")

	show("The end: its init shuts it down, and it stays down", "uml-ctl stop alice")
	show("Out of the service directory, with its supervise and its network", "uml-ctl deactivate alice; uml-ctl list")
	show("Nothing of it runs", "ps -e -o user,pid,args")
	if mounts := l.Must("cat", "/proc/mounts"); !strings.Contains(mounts, "/uml ") {
		fmt.Println("Nothing of it is mounted.")
	}
	l.Close()
	if _, err := os.Stat(l.Dir); err != nil {
		fmt.Println("The lab is gone: its namespaces, its accounts, its directory.")
	}
}

// shown puts the lab's directory before paths that are told as on a host.
func shown(l *lab.Lab) *strings.Replacer {
	return strings.NewReplacer(" /machines", " "+l.Machines, " /service", " "+l.Service)
}

func say(title string) {
	if terminal() {
		title = "\033[1m" + title + "\033[0m"
	}
	fmt.Printf("\n# %s\n", title)
}

func terminal() bool {
	_, err := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("NO_COLOR") == ""
}

// width is a terminal's; longer lines go on indented.
const width = 80

func tell(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		for len([]rune(line)) >= width {
			cut := strings.LastIndex(line[:width-1], " ")
			if cut <= 10 {
				break
			}
			fmt.Println(line[:cut])
			line = "      " + line[cut+1:]
		}
		fmt.Println(line)
	}
}

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
	shell := append(l.Enter(m.Dir), "env", "UML_MACHINES="+l.Machines, "UML_HOST_SETTINGS="+l.HostSettings, "PATH="+l.Bin+":$PATH", "bash")
	fmt.Printf(`
The lab goes on. A shell on its host:
  %s
In it, the other host asks the guest:   ip netns exec other ping %s
The guest's console, which ~. leaves:   uml-ctl console alice
The guest's log:                        tail -f %s
Its end:                                uml-ctl stop %s
The end of everything:                  kill -KILL %d; rm -r %s
`, strings.Join(shell, " "), m.IP4, filepath.Join(l.Dir, m.Name+".log"), m.Name, l.PID, l.Dir)
}
