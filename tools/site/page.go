package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

var (
	//go:embed shell.html
	shellText string
	shell     = template.Must(template.New("shell").Parse(shellText))
	markdown  = goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
)

// sections are what every page leads to.
var sections = []struct{ Name, File string }{
	{"Start", "docs/README.md"}, {"Guide", "docs/guide.md"}, {"Then and now", "docs/then-and-now.md"}, {"Security", "docs/security.md"},
	{"Design", "docs/design.md"}, {"Performance", "docs/performance.md"}, {"Changes", "CHANGELOG.md"},
}

func (s *site) page(name string) error {
	source, err := os.ReadFile(filepath.Join(s.root, name))
	if err != nil {
		return err
	}
	doc := markdown.Parser().Parse(text.NewReader(source))
	title := path.Base(name)
	var comments []ast.Node
	err = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if n.Level == 1 {
				title = string(n.Lines().Value(source))
			}
		case *ast.HTMLBlock: // what tests are told about a block
			comments = append(comments, n)
		case *ast.Link:
			to, err := s.lead(name, string(n.Destination))
			n.Destination = []byte(to)
			return ast.WalkContinue, err
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, c := range comments {
		c.Parent().RemoveChild(c.Parent(), c)
	}
	var body bytes.Buffer
	if err := markdown.Renderer().Render(&body, source, doc); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.add(at(name), title, s.references(at(name), body.String()))
}

// lead is where a page's link leads in the site. A file that is no page is brought along.
func (s *site) lead(from, link string) (string, error) {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "#") {
		return link, nil
	}
	file, anchor, _ := strings.Cut(link, "#")
	file = path.Join(path.Dir(from), file)
	to := at(file)
	if strings.HasPrefix(to, "files/") {
		data, err := os.ReadFile(filepath.Join(s.root, file))
		if err != nil {
			return "", err
		}
		s.made[to] = data
	}
	if anchor != "" {
		anchor = "#" + anchor
	}
	return relative(at(from), to) + anchor, nil
}

// manual is a manual page by mandoc(1). Its references to others of ours are links.
func (s *site) manual(name string) error {
	mandoc := exec.Command("mandoc", "-T", "html", "-O", "fragment,toc", filepath.Join(s.root, name))
	mandoc.Stderr = os.Stderr
	body, err := mandoc.Output()
	if err != nil {
		return fmt.Errorf("mandoc %s: %w", name, err)
	}
	m := manual.FindStringSubmatch(name)
	return s.add(at(name), fmt.Sprintf("%s(%s)", m[1], m[2]), s.references(at(name), string(body)))
}

var (
	piece     = regexp.MustCompile(`<[^>]*>|[^<]+`)
	reference = regexp.MustCompile(`(uml-[a-z]+)\(([1-9])\)`)
	inner     = regexp.MustCompile(`<a class="Xr">([^<]*)</a>`) // mandoc's, without a link
)

// references makes links of what the text names as manual pages, but within code and links.
func (s *site) references(from, body string) template.HTML {
	body = inner.ReplaceAllString(body, "$1")
	var out strings.Builder
	literal := 0
	for _, p := range piece.FindAllString(body, -1) {
		switch {
		case strings.HasPrefix(p, "<a ") || strings.HasPrefix(p, "<code") || strings.HasPrefix(p, "<pre"):
			literal++
		case p == "</a>" || p == "</code>" || p == "</pre>":
			literal--
		case !strings.HasPrefix(p, "<") && literal == 0:
			p = reference.ReplaceAllStringFunc(p, func(r string) string {
				m := reference.FindStringSubmatch(r)
				file := "docs/" + m[1] + "." + m[2]
				if _, err := os.Stat(filepath.Join(s.root, file)); err != nil {
					return r
				}
				return `<a href="` + relative(from, at(file)) + `">` + r + `</a>`
			})
		}
		out.WriteString(p)
	}
	return template.HTML(out.String())
}

func (s *site) add(name, title string, body template.HTML) error {
	type link struct{ Name, To string }
	var all []link
	for _, x := range sections {
		all = append(all, link{x.Name, relative(name, at(x.File))})
	}
	var out bytes.Buffer
	err := shell.Execute(&out, struct {
		Title    string
		Sections []link
		Body     template.HTML
	}{strings.ReplaceAll(title, "`", ""), all, body})
	s.made[name] = out.Bytes()
	return err
}
