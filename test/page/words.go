package page

import (
	"regexp"
	"strings"
)

var program = regexp.MustCompile(`(?:^|[\s(;|&'"=-])(?:/usr/(?:local/)?s?bin/)?(uml-[a-z]+)(?:$|[\s;|&)'"` + "`" + `\\<>])`)

// Invocations are the suite's programs in a piece of shell, each with its arguments.
func Invocations(shell string) (all [][]string) {
	shell = strings.ReplaceAll(shell, "\\\n", " ")
	for at := 0; ; {
		m := program.FindStringSubmatchIndex(shell[at:])
		if m == nil {
			return all
		}
		name, rest := shell[at+m[2]:at+m[3]], shell[at+m[3]:]
		all = append(all, append([]string{name}, words(rest)...))
		at += m[3]
	}
}

// words are those of one command: up to a separator, a redirection or a comment.
func words(s string) (all []string) {
	var w strings.Builder
	begun := false
	end := func() {
		if begun {
			all = append(all, w.String())
		}
		w.Reset()
		begun = false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t':
			end()
		case '\'', '"':
			close := strings.IndexByte(s[i+1:], c)
			if close < 0 { // what the program stands in is quoted itself
				end()
				return all
			}
			w.WriteString(s[i+1 : i+1+close])
			i += close + 1
			begun = true
		case '\n', ';', '|', '&', ')', '<', '\\':
			end()
			return all
		case '>':
			if w.String() == "2" {
				begun = false
			}
			end()
			return all
		case '#':
			if !begun {
				return all
			}
			w.WriteByte(c)
		default:
			w.WriteByte(c)
			begun = true
		}
	}
	end()
	return all
}
