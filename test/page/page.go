// Package page reads the documentation: the commands in a page's fenced blocks, and
// what its links lead to. It knows as much of Markdown as these pages use.
package page

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A Page is a Markdown file.
type Page struct {
	File    string
	Blocks  []Block
	Links   []Link
	Anchors []string // of its headings, as GitHub makes them
	Spans   []Span   // code within lines
}

// A Block is a fenced one.
type Block struct {
	Line   int    // of the fence
	Kind   string // the word after the fence
	NotRun string // why its commands cannot be tried, from a comment before it
	Before string // what has to be so for them, made by commands in a comment before it
	Text   string // without the fence's indentation
}

// A Link is what stands in parentheses behind a text.
type Link struct {
	Line int
	To   string
}

// A Span is a piece of code within a line.
type Span struct {
	Line int
	Text string
}

var (
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span   = regexp.MustCompile("`([^`]+)`")
	notRun = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
	before = regexp.MustCompile(`^<!-- before: (.+) -->$`)
)

// Read reads one file.
func Read(file string) (*Page, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &Page{File: file}
	var block *Block
	var indent, why, first string
	comment := false
	for i, line := range strings.Split(string(text), "\n") {
		bare := strings.TrimSpace(line)
		fence := strings.HasPrefix(bare, "```")
		switch {
		case block != nil && fence:
			p.Blocks = append(p.Blocks, *block)
			block, why, first = nil, "", ""
		case block != nil:
			block.Text += strings.TrimPrefix(line, indent) + "\n"
		case fence:
			indent = line[:strings.Index(line, "```")]
			block = &Block{Line: i + 1, Kind: strings.TrimPrefix(bare, "```"), NotRun: why, Before: first}
		case comment || strings.HasPrefix(bare, "<!--"):
			comment = !strings.HasSuffix(bare, "-->")
			if m := notRun.FindStringSubmatch(bare); m != nil {
				why = m[1]
			} else if m := before.FindStringSubmatch(bare); m != nil {
				first = m[1]
			}
		case bare != "":
			if why+first != "" {
				return nil, fmt.Errorf("%s:%d: a comment about a block stands before something else", file, i+1)
			}
			p.line(i+1, line)
		}
	}
	if block != nil {
		return nil, fmt.Errorf("%s:%d: this block has no end", file, block.Line)
	}
	return p, nil
}

func (p *Page) line(number int, text string) {
	if title, ok := heading(text); ok {
		p.Anchors = append(p.Anchors, slug(title, p.Anchors))
	}
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		p.Links = append(p.Links, Link{number, m[1]})
	}
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		p.Spans = append(p.Spans, Span{number, m[1]})
	}
}

func heading(line string) (title string, ok bool) {
	rest := strings.TrimLeft(line, "#")
	title, ok = strings.CutPrefix(rest, " ")
	return strings.TrimSpace(title), ok && rest != line
}

// slug is the anchor that GitHub makes of a heading: the text without punctuation, in
// lower case, a dash for each space, and a number if it was there before.
func slug(title string, before []string) string {
	title = link.ReplaceAllString(title, "]")
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			b.WriteRune(r)
		}
	}
	for base, n := b.String(), 1; ; n++ {
		s := base
		if n > 1 {
			s = fmt.Sprintf("%s-%d", base, n-1)
		}
		if !slices.Contains(before, s) {
			return s
		}
	}
}
