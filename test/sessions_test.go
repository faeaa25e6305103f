package test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"uml/test/lab"
	"uml/test/page"
)

// A session is pages of docs/ whose commands are typed one after the other on one host, as who reads
// them would.
type session struct {
	name  string
	pages []string
}

var sessions = []session{
	{"hand", []string{"tasks/by-hand", "tasks/running", "tasks/discs", "overlay", "tasks/memory", "tasks/shares"}},
	{"net", []string{"tasks/by-hand", "routing", "tasks/kernels", "tasks/watching", "tasks/networks", "tasks/access"}},
	{"estate", []string{"tasks/install", "tasks/templates", "tasks/machines"}},
	{"start", []string{"README"}},
}

// Every command of these pages does what is written there, but for those that are marked.
func TestDocumentedSessions(t *testing.T) {
	t.Parallel()
	all := pages(t)
	known := map[string]bool{}
	for _, s := range sessions {
		for _, name := range s.pages {
			known["docs/"+name+".md"] = true
		}
	}
	left := 0
	for name, p := range all {
		for _, b := range p.Blocks {
			if n := len(b.Steps()); b.NotRun != "" {
				left += n
			} else if n > 0 && !known[name] {
				t.Errorf("%s:%d: typed in no session: list the page, or say why not, in a comment before the block", name, b.Line)
			}
		}
	}
	t.Logf("%d commands are not run, as comments before them say", left)
	var parts []func()
	for _, s := range sessions {
		parts = append(parts, func() { t.Run(s.name, func(t *testing.T) { s.typed(t, all) }) })
	}
	together(parts)
}

func (s session) typed(t *testing.T, all map[string]*page.Page) {
	l := lab.New(t)
	l.Template("bookworm", nil)
	l.Root(abs(t, ".."))
	sh := l.Session("/root/uml")
	if r := sh.Do(anyHost, ""); r.Code != 0 {
		t.Fatalf("the host: %s", r.Out)
	}
	for _, name := range s.pages {
		name = "docs/" + name + ".md"
		begin := time.Now()
		ran := typePage(t, sh, name, all[name])
		t.Logf("%s: %d commands, %v", name, ran, time.Since(begin).Round(time.Second/10))
	}
}

// anyHost is one with what docs/tasks/install.md has installed, and a lab's patience. Comments of pages may say
// "up NAME", which waits for a guest.
const anyHost = `set -e
umask 022
install -d /machines /service /etc/uml-run ~/.ssh
for s in min-uptime=0 stagger=0 ping-timeout=300 retry-delay=0; do echo ${s#*=} >/etc/uml-run/${s%=*}; done
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cat >~/.ssh/config <<.
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
ConnectionAttempts 60
ConnectTimeout 5
Host host.example
	HostName 192.0.2.10
.
up() { until ping -n -q -c 1 -W 1 $(head -n 1 /machines/$1/settings/ip4); do :; done; }
install -d /var/lib/uml
cp -a /run/templates /var/lib/uml/
svscan /service </dev/null >/svscan.log 2>&1 &
set +e`

func typePage(t *testing.T, sh *lab.Session, name string, p *page.Page) (ran int) {
	t.Helper()
	for _, b := range p.Blocks {
		if b.NotRun != "" {
			continue
		}
		if r := sh.Do(b.Before, ""); r.Code != 0 {
			t.Fatalf("%s:%d: %s\n%s", name, b.Line, b.Before, r.Out)
		}
		for _, s := range b.Steps() {
			ran++
			where := fmt.Sprintf("%s:%d: %s", name, s.Line, s.Command)
			r := do(sh, s)
			for end := time.Now().Add(lab.Patience / 4); looks.MatchString(s.Command) && amiss(s, r) != "" && time.Now().Before(end); r = do(sh, s) {
				time.Sleep(300 * time.Millisecond)
			}
			if wrong := amiss(s, r); wrong != "" {
				t.Fatalf("%s: %s\n%s", where, wrong, r.Out)
			}
		}
	}
	return ran
}

// looks is a command that changes nothing, and is asked again until it says what is shown: who
// reads a page is slower than a guest that boots.
var looks = regexp.MustCompile(`^(uml-ctl (log|list|top|proc|version)|uml-net show|uml-check|tail|ping|ssh) ?|^echo .*\| uml-ctl console `)

// amiss says what is not as the page has it.
func amiss(s page.Step, r lab.Result) string {
	fails := strings.Contains(strings.Join(s.Shown, "\n"), ": fatal: ")
	nothing := r.Code == 1 && r.Out == "" && strings.Contains(s.Command, "| grep -v ")
	if (r.Code == 0) == fails && !nothing {
		return fmt.Sprintf("exit %d", r.Code)
	}
	for _, line := range s.Shown {
		if !isShown(line, r.Out) {
			return "not said: " + line
		}
	}
	return ""
}

func do(sh *lab.Session, s page.Step) lab.Result {
	command := s.Command
	if s.Other {
		command = "ip netns exec other bash -c " + quote(command)
	}
	return sh.Do(command, s.Input)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

var (
	hostKey = regexp.MustCompile(`SHA256:\S+`)
	figure  = regexp.MustCompile(`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b|-?\d[\d.,:/-]*(?:(?:h|ms|m|s|d|[KMG](?:iB|B)?\b|B\b|kB\b|us)[\d:]*)*`)
	spaces  = regexp.MustCompile(`\s+`)
)

// isShown says whether a line of the output is the one that is shown, but for numbers, spaces and
// what "..." stands for.
func isShown(shown, out string) bool {
	if strings.TrimSpace(shown) == "..." {
		return true
	}
	parts := strings.Split(like(shown), "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	want := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
	for line := range strings.Lines(out) {
		if want.MatchString(like(line)) {
			return true
		}
	}
	return false
}

func like(line string) string {
	line = hostKey.ReplaceAllString(line, "KEY")
	line = figure.ReplaceAllString(line, "0")
	return strings.TrimSpace(spaces.ReplaceAllString(line, " "))
}
