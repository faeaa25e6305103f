package page

import (
	"regexp"
	"strings"
)

// A Step is one command of a block.
type Step struct {
	Line    int
	Other   bool   // typed on another host
	Command string // as a shell has it: lines that belong to it too
	Input   string // what is then typed at a guest's console, or as an answer
	Shown   []string
}

var (
	here   = regexp.MustCompile(`<<-?['"]?([A-Za-z_.]+)['"]?`)
	answer = regexp.MustCompile(`\[y/N\] (\w+)$`)
)

// Steps are the commands of a block. One of kind "sh" is commands only. Else, if it
// begins with a prompt, "# " on the host or "$ " elsewhere, it is a session: what has no
// prompt is what was printed, after "> " goes a command on, and "/ # " is a guest's.
func (b *Block) Steps() (steps []Step) {
	session := strings.HasPrefix(b.Text, "# ") || strings.HasPrefix(b.Text, "$ ")
	if !session && b.Kind != "sh" || session && b.Kind != "" && b.Kind != "sh" {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		s := Step{Line: b.Line + 1 + i, Command: lines[i]}
		if session {
			s.Other = lines[i][0] == '$'
			s.Command = lines[i][2:]
		}
		for unfinished(s.Command) && i+1 < len(lines) {
			i++
			s.Command += "\n" + strings.TrimPrefix(lines[i], "> ")
		}
		for session && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> ") {
			i++
			s.Command += "\n" + lines[i][2:]
		}
		for session && i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "# ") && !strings.HasPrefix(lines[i+1], "$ ") {
			i++
			if typed, ok := strings.CutPrefix(lines[i], "/ # "); ok {
				s.Input += strings.TrimPrefix(typed, "~.") + "\n" // which leaves the console, at a terminal
			} else if m := answer.FindStringSubmatch(lines[i]); m != nil {
				s.Input += m[1] + "\n"
			} else if lines[i] != "" {
				s.Shown = append(s.Shown, lines[i])
			}
		}
		if strings.TrimSpace(s.Command) != "" {
			steps = append(steps, s)
		}
	}
	return steps
}

// unfinished says whether the next line belongs to the command: after a backslash, and
// up to the end of a here-document.
func unfinished(command string) bool {
	if strings.HasSuffix(command, "\\") {
		return true
	}
	m := here.FindStringSubmatch(command)
	return m != nil && !strings.HasSuffix(command, "\n"+m[1])
}
