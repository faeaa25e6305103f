package trial

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"uml/fault"
)

// A log keeps the last lines of what uml-run, the kernel and the guest's terminal say, and
// sees a prompt. All of it is the guest's word.
type log struct {
	mu    sync.Mutex
	lines []string
	login string
	ways  []*way
}

// A way is one of those by which it comes: each has its own half of a line.
type way struct {
	*log
	part []byte
	at   time.Time // when that came
}

func (l *log) way() *way {
	w := &way{log: l}
	l.ways = append(l.ways, w)
	return w
}

const (
	keepLines = 40
	keepPart  = 1000 // bytes of a line
)

// What somebody can sit down at: a getty, or what busybox's init says before a shell, which
// a message of the kernel may follow on the same line; or a shell's prompt, if nothing does.
var (
	logins = regexp.MustCompile(`(?i)(\S+ )?login:|activate this console\.`)
	shells = regexp.MustCompile(`^\S.{0,60}[#$>] $|^[#$] $`)
)

// still is how long a line without an end is no prompt: it may be a part of one that has.
const still = 300 * time.Millisecond

func (w *way) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Now()
	for line := range bytes.Lines(b) {
		w.part = append(w.part, line[:min(len(line), max(0, keepPart-len(w.part)))]...)
		if w.login == "" {
			w.login = logins.FindString(plain(w.part))
		}
		if line[len(line)-1] == '\n' {
			w.line(plain(w.part))
			w.part = w.part[:0]
		}
	}
	return len(b), nil
}

// prompt is what it is, "" if there is none.
func (l *log) prompt() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.ways {
		if l.login == "" && shells.MatchString(clean(w.part)) && time.Since(w.at) >= still {
			return plain(w.part)
		}
	}
	return l.login
}

// line leaves out the addresses of a kernel that has died: what it died of is above.
func (l *log) line(text string) {
	if text == "" || strings.HasPrefix(text, "[<") {
		return
	}
	if l.lines = append(l.lines, text); len(l.lines) > keepLines {
		l.lines = l.lines[1:]
	}
}

// escapes are what terminals take for orders (ECMA-48).
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])`)

func clean(b []byte) string { return escapes.ReplaceAllString(strings.ToValidUTF8(string(b), "?"), "") }

func plain(b []byte) string { return fault.Line(strings.TrimSpace(clean(b))) }

// last are the last n lines.
func (l *log) last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.lines)
	for _, w := range l.ways {
		if text := plain(w.part); text != "" {
			all = append(all, text)
		}
	}
	return all[max(0, len(all)-n):]
}

// refused are uml-run's own reasons.
func (l *log) refused() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, line := range l.lines {
		if text, ok := strings.CutPrefix(line, "uml-run: fatal: "); ok {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
