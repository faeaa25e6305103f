// Command site makes HTML of the documentation: of docs/ and what stands beside it in the
// root, with Markdown's links led to where the pages are, and of the manual pages, by mandoc.
// It fails if a link of what it has made leads nowhere.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: site REPOSITORY DIR")
		os.Exit(2)
	}
	s := &site{root: os.Args[1], out: os.Args[2], made: map[string][]byte{}}
	if err := errors.Join(s.make(), s.check()); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	if err := s.write(); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Printf("%d pages and files, %s\n", len(s.made), filepath.Join(s.out, "index.html"))
}

// A site is what is made of a repository: files by their path in the site.
type site struct {
	root, out string
	made      map[string][]byte
}

func (s *site) make() error {
	var pages, manuals []string
	for _, dir := range []string{".", "docs"} {
		err := fs.WalkDir(os.DirFS(s.root), dir, func(name string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && dir == "." && name != "." {
				return fs.SkipDir
			}
			if strings.HasSuffix(name, ".md") {
				pages = append(pages, name)
			} else if manual.MatchString(name) {
				manuals = append(manuals, name)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	var faults []error
	for _, name := range manuals {
		faults = append(faults, s.manual(name))
	}
	for _, name := range pages {
		faults = append(faults, s.page(name))
	}
	return errors.Join(faults...)
}

var manual = regexp.MustCompile(`^docs/([a-z-]+)\.([1-9])$`)

// at is where a file of the repository is in the site.
func at(name string) string {
	switch {
	case name == "docs/README.md":
		return "index.html"
	case manual.MatchString(name):
		return "man/" + path.Base(name) + ".html"
	case strings.HasSuffix(name, ".md"):
		return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "docs/"), ".md")) + ".html"
	}
	return "files/" + name
}

// relative is the link from one page of the site to another.
func relative(from, to string) string {
	return strings.Repeat("../", strings.Count(from, "/")) + to
}

var (
	href = regexp.MustCompile(`\shref="([^"]*)"`)
	id   = regexp.MustCompile(`\sid="([^"]*)"`)
)

// check follows every link of the pages.
func (s *site) check() error {
	ids := map[string]map[string]bool{}
	for name, text := range s.made {
		ids[name] = map[string]bool{}
		for _, m := range id.FindAllSubmatch(text, -1) {
			ids[name][string(m[1])] = true
		}
	}
	var faults []error
	for name, text := range s.made {
		if path.Ext(name) != ".html" {
			continue
		}
		for _, m := range href.FindAllSubmatch(text, -1) {
			link := string(m[1])
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if s.made[to] == nil {
				faults = append(faults, fmt.Errorf("%s: %s leads nowhere", name, link))
			} else if anchor != "" && !ids[to][anchor] {
				faults = append(faults, fmt.Errorf("%s: %s: there is no such heading", name, link))
			}
		}
	}
	return errors.Join(faults...)
}

func (s *site) write() error {
	for name, text := range s.made {
		file := filepath.Join(s.out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
