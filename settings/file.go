package settings

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// readDir reads every file of dir/name in order of their names and hands each
// one's lines to set. Every fault comes back with the file's path before it.
func readDir(parent *handle.Dir, name string, set func(name string, lines []string) error, known func(string) bool) []error {
	dir, err := openSettings(parent, name)
	if err != nil {
		return []error{err}
	}
	defer dir.Close()
	return readFiles(dir, set, known)
}

func openSettings(parent *handle.Dir, name string) (*handle.Dir, error) {
	dir, err := parent.List(name)
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.SettingBad.Permanent("%s: there is no such directory (mkdir it: one file a setting, none at all will do)", parent.Join(name))
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fault.SettingBad.Permanent("%s: is not a directory", parent.Join(name))
	}
	return dir, err
}

func readFiles(dir *handle.Dir, set func(name string, lines []string) error, known func(string) bool) []error {
	entries, err := dir.Entries(maxFiles + 1)
	if err != nil {
		return []error{err}
	}
	if len(entries) > maxFiles {
		return []error{fault.SettingBad.Permanent("%s: more than %d files, not a settings directory", dir.Path, maxFiles)}
	}
	slices.SortFunc(entries, func(a, b handle.Entry) int { return strings.Compare(a.Name, b.Name) })
	var faults []error
	for _, e := range entries {
		if !known(e.Name) {
			faults = append(faults, fault.SettingBad.Permanent("%s: %s", dir.Join(e.Name), unknown(e.Name)))
			continue
		}
		if err := readFile(dir, e, set); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// readFile hands one file's lines to set.
func readFile(dir *handle.Dir, e handle.Entry, set func(name string, lines []string) error) error {
	lines, err := readLines(dir, e)
	if err != nil {
		return err
	}
	var faults []error
	for _, err := range fault.Parts(set(e.Name, lines)) {
		faults = append(faults, fault.SettingBad.Permanent("%s: %w", dir.Join(e.Name), err))
	}
	return errors.Join(faults...)
}

// Texts are the files of a machine's settings directory as they stand, unjudged, by their names:
// for who writes them elsewhere. They are without the newline at their end; of one of more than
// 64 KiB, which no start takes, that much.
func Texts(parent *handle.Dir, name string) (map[string]string, error) {
	dir, err := parent.List(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.Entries(maxFiles)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		f, err := dir.OpenEntry(e)
		if err != nil {
			return nil, err
		}
		text, err := f.Read(maxFile)
		f.Close()
		if err != nil {
			return nil, err
		}
		all[e.Name] = strings.TrimSuffix(string(text), "\n")
	}
	return all, nil
}

func unknown(name string) string {
	backup := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#")
	for _, s := range []string{"~", ".bak", ".old", ".orig", ".swp", ".tmp", ".save"} {
		backup = backup || strings.HasSuffix(name, s)
	}
	switch {
	case backup:
		return "is not a setting, but looks like an editor's copy of one (remove it)"
	case knownHost(name):
		return "is not a setting of a machine, but of the host (" + DefaultHostDir + "/" + name + ")"
	case known(name):
		return "is not a setting of the host, but of a machine (settings/" + name + " of its directory)"
	}
	return "is not a setting (see uml-machine(5))"
}

// readLines is a setting's value: its lines without surrounding white space,
// without empty and comment lines.
func readLines(dir *handle.Dir, e handle.Entry) ([]string, error) {
	f, err := dir.OpenEntry(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Regular(); err != nil {
		return nil, err
	}
	// Who writes a setting chooses the account that the guest runs as.
	if err := f.RootsAlone(); err != nil {
		return nil, err
	}
	if f.Stat.Size > maxFile {
		return nil, fault.SettingBad.Permanent("%s: is %d bytes, a setting is at most %d", f.Path, f.Stat.Size, maxFile)
	}
	text, err := f.Read(maxFile + 1)
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fault.SettingBad.Permanent("%s: is over %d bytes", f.Path, maxFile)
	}
	return splitLines(string(text)), nil
}

func splitLines(text string) []string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			lines = append(lines, l)
		}
	}
	return lines
}
