package main

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"uml/test/lab"
)

// must runs a command on the host that has to succeed.
func (g *guest) must(args ...string) string { return g.may(args, 0) }

// may runs one that ends with 0 or one of these codes. What it refused is counted by what it said.
func (g *guest) may(args []string, codes ...int) string {
	begun := time.Now()
	r := g.Lab.RunIn("/", args...)
	g.note("%s: %d, %.1fs", strings.Join(args, " "), r.Code, time.Since(begun).Seconds())
	g.judge(g, args, r, codes...)
	return r.Out
}

func (h *host) judge(g *guest, args []string, r lab.Result, codes ...int) {
	switch said := r.Out + r.Err; {
	case strings.Contains(said, "goroutine ") || strings.Contains(said, "panic:"):
		h.found(g, "%s: %s", strings.Join(args, " "), said)
	case r.Code != 0 && !slices.Contains(codes, r.Code):
		h.found(g, "%s: exit %d\n%s", strings.Join(args, " "), r.Code, said)
	case r.Code != 0:
		for line := range strings.Lines(r.Err) {
			h.count("refused", plain(line))
		}
	}
}

var numbers = regexp.MustCompile(`\bg\d\d\b|[0-9a-f]*:[0-9a-f:]+|\d[\d.,]*`)

// plain is a message without what differs from guest to guest.
func plain(line string) string {
	line = strings.TrimSpace(line)
	return numbers.ReplaceAllStringFunc(line, func(w string) string {
		if strings.HasPrefix(w, "g") {
			return "NAME"
		}
		if strings.Trim(w, ":") == "" {
			return w
		}
		return "N"
	})
}
