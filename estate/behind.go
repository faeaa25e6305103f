package estate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"uml/handle"
	"uml/lock"
	"uml/runscript"
)

// Behind is what of the machine's directory does not go along, by its names: nothing says what it
// is for. What is made there anew, or is of this host alone, does not count.
func (l *Leaving) Behind() (all []string, err error) {
	p := l.p
	known := []string{"settings", "jail", "log", "run", "supervise", ".ssh", lock.Name, journalName, journalName + ".new", runscript.MovedTo, "." + runscript.MovedTo, noteName}
	if all, err = others(p.at, ".", known); err != nil {
		return nil, err
	}
	if !ownRun(filepath.Join(p.dir, "run"), "exec 2>&1\nexec ", "/uml-run\n") {
		all = append(all, "run")
	}
	if !ownRun(filepath.Join(p.dir, "log/run"), "exec setuidgid umllog multilog t ./main\n", "") {
		all = append(all, "log/run")
	}
	goes := []string{"uml", "swap"}
	for _, f := range l.Files {
		goes = append(goes, f.Name)
	}
	inside, err := others(p.at, "jail", goes)
	for _, name := range inside {
		all = append(all, "jail/"+name)
	}
	return all, err
}

// others are the names in a directory but those that are known, the first hundred: a jail's user
// may have put any number there.
func others(at *handle.Dir, name string, known []string) (all []string, err error) {
	dir, err := at.List(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.Entries(100)
	for _, e := range entries {
		if !slices.Contains(known, e.Name) {
			all = append(all, e.Name)
		}
	}
	slices.Sort(all)
	return all, err
}

// ownRun says whether what a supervisor starts is as New makes it, or uml-run itself, or not there.
func ownRun(file, begin, end string) bool {
	if to, err := os.Readlink(file); err == nil {
		return filepath.Base(to) == "uml-run"
	}
	text, err := os.ReadFile(file)
	script, ok := strings.CutPrefix(string(text), "#!/bin/sh\n"+begin)
	return err != nil || ok && strings.HasSuffix(script, end) && !strings.Contains(strings.TrimSuffix(script, end), "\n")
}

// Some is a list for people.
func Some(names []string) string {
	const most = 8
	if n := len(names) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), n)
	}
	return strings.Join(names, " ")
}
