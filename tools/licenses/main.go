// Command licenses prints the licences of all that is linked into the programs, with their
// texts, as packages have to bring them. It fails if one is of a kind that nobody has judged.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licenses ROOT-OF-THE-MODULE")
		os.Exit(2)
	}
	var out bytes.Buffer
	err := write(&out, os.Args[1])
	if err == nil {
		_, err = out.WriteTo(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// A module is linked into some program.
type module struct{ path, version, dir string }

func write(w io.Writer, root string) error {
	modules, err := linked(root)
	if err != nil {
		return err
	}
	fmt.Fprint(w, "What is linked into the programs of this package, with the version and licence of each; the texts follow.\n\n")
	var texts bytes.Buffer
	for _, m := range modules {
		names, err := files(m.dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		kinds := map[string]bool{}
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(m.dir, name))
			if err != nil {
				return err
			}
			for _, k := range known(string(text)) {
				kinds[k] = true
			}
			fmt.Fprintf(&texts, "\n%s\n%s %s: %s\n\n%s\n", strings.Repeat("-", 72), m.path, m.version, name, bytes.TrimSpace(text))
		}
		if len(kinds) == 0 {
			return fmt.Errorf("%s: none of %s is a licence that is known here: judge it, and add it to tools/licenses", m.dir, strings.Join(names, ", "))
		}
		var all []string
		for k := range kinds {
			all = append(all, k)
		}
		slices.Sort(all)
		fmt.Fprintf(w, "%-50s %-42s %s\n", m.path, m.version, strings.Join(all, ", "))
	}
	_, err = texts.WriteTo(w)
	return err
}

// linked are the modules that programs are made of, and Go's own library.
func linked(root string) ([]module, error) {
	list := exec.Command("go", "list", "-deps", "-tags", "urfave_cli_no_docs", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}", "./cmd/...")
	list.Dir, list.Stderr = root, os.Stderr
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	env, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	goroot := strings.Fields(string(env))
	all := []module{{"Go's standard library", goroot[1], goroot[0]}}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%q: not downloaded", line)
		}
		all = append(all, module{f[0], f[1], f[2]})
	}
	return all, nil
}

// files are those of a module's root that hold a licence, or what it asks to be passed on.
func files(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		for _, begin := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"} {
			if strings.HasPrefix(upper, begin) && e.Type().IsRegular() && !strings.HasSuffix(upper, ".GO") {
				names = append(names, e.Name())
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("has no licence")
	}
	return names, nil
}

// known are the licences that a text holds, by words of theirs.
func known(text string) (all []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, k := range []struct {
		name  string
		words []string
	}{
		{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
		{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "endorse or promote products"}},
		{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
		{"MIT", []string{"Permission is hereby granted, free of charge", "The above copyright notice and this permission notice shall be included"}},
		{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose", "provided that the above copyright notice"}},
		{"0BSD", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted. THE SOFTWARE"}},
		{"CC0-1.0", []string{"CC0 1.0 Universal"}},
	} {
		has := true
		for _, words := range k.words {
			has = has && strings.Contains(text, words)
		}
		if has && !(k.name == "BSD-2-Clause" && slices.Contains(all, "BSD-3-Clause")) { // which has its words too
			all = append(all, k.name)
		}
	}
	return all
}
