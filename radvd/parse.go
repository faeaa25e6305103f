package radvd

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"uml/settings"
)

// Marker lines. What is between them is ours, the rest the administrator's.
const (
	begin = "# BEGIN uml-net radvd"
	end   = "# END uml-net radvd"
	note  = " (made from the machines' settings; what you write between these lines is lost)"
)

// A parted file is the administrator's text before and after ours.
type parted struct {
	before, after string
	sections      []section
	marked        bool
}

// split takes a file apart at its marker lines.
func split(text string) (parted, error) {
	n, at, offset := 0, 0, 0 // this line, that of BEGIN, where this one starts
	from, to := -1, -1       // what is between
	p := parted{before: text}
	for line := range strings.Lines(text) {
		n++
		l := strings.TrimSpace(line)
		switch isBegin, isEnd := strings.HasPrefix(l, begin), strings.HasPrefix(l, end); {
		case isBegin && at > 0:
			return p, broken(n, begin, fmt.Sprintf("stands in line %d already", at))
		case isEnd && at == 0:
			return p, broken(n, end, "has no BEGIN before it")
		case isEnd && to >= 0:
			return p, broken(n, end, "stands twice")
		case isBegin:
			at, from = n, offset+len(line)
			p.before = text[:offset]
		case isEnd:
			to = offset
			p.after = text[offset+len(line):]
		}
		offset += len(line)
	}
	if at > 0 && to < 0 {
		return p, broken(at, begin, "has no END after it")
	}
	if p.marked = at > 0; p.marked {
		p.sections = parse(text[from:to])
	}
	return p, nil
}

func broken(line int, marker, what string) error {
	return fmt.Errorf("line %d: %q %s, so what is the administrator's cannot be told (mend the two lines, or remove both and all between)", line, marker, what)
}

// with is the file with these sections in the place of ours. Without any, and
// without a word of the administrator's, there is no file.
func (p parted) with(sections []section) string {
	if len(sections) == 0 {
		rest := p.before + p.after
		if p.marked && strings.TrimSpace(rest) == "" {
			return ""
		}
		return rest
	}
	var b strings.Builder
	b.WriteString(p.before)
	if p.before != "" && !strings.HasSuffix(p.before, "\n") {
		b.WriteByte('\n')
	}
	b.WriteString(begin + note + "\n")
	for i := range sections {
		b.WriteString(sections[i].String())
	}
	b.WriteString(end + "\n" + p.after)
	return b.String()
}

// parse reads our part. What is not as we write it is passed over: that somebody
// has edited it shall not keep anything from being advertised.
func parse(block string) (all []section) {
	seen := map[string]bool{}
	var s *section
	for line := range strings.Lines(block) {
		f := strings.Fields(line)
		switch {
		case len(f) == 5 && f[0] == "interface" && f[2] == "{" && f[3] == "#":
			s = nil
			if tellable(f[1]) && settings.CheckName(f[4]) == nil && !seen[f[1]] {
				seen[f[1]] = true
				all = append(all, section{tap: f[1], machine: f[4]})
				s = &all[len(all)-1]
			}
		case len(f) > 2 && f[0] == "prefix" && s != nil:
			s.read(line, f[1])
		}
	}
	return all
}

func (s *section) read(line, prefix string) {
	p, err := netip.ParsePrefix(prefix)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() != 64 || p != p.Masked() {
		return
	}
	_, end, fades := strings.Cut(line, until)
	if !fades {
		s.prefix = p
		return
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(end))
	if err != nil || len(s.gone) == maxGone {
		return
	}
	s.gone = append(s.gone, gone{p, t.UTC()})
}
