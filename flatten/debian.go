package flatten

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"uml/fault"
)

// base is the least that a guest of somebody's needs on top of Debian's minimal system: an
// init, its devices (without udev systemd waits for the swap's for 90 s), modules, the
// network, and a way in.
var base = []string{"systemd-sysv", "udev", "kmod", "ifupdown", "iproute2", "iputils-ping", "netbase", "openssh-server", "ca-certificates", "e2fsprogs"}

// inits are packages that provide /sbin/init: one of them in place of systemd.
var inits = []string{"sysvinit-core", "runit-init", "openrc", "busybox-init"}

// Packages are those that a template of Debian's has.
func Packages(include []string) []string {
	all := slices.Clone(base)
	if slices.ContainsFunc(include, func(p string) bool { return slices.Contains(inits, p) }) {
		all = all[1:]
	}
	return append(all, include...)
}

// CheckSuite refuses what is no name of a suite: it is an argument of another program.
func CheckSuite(s string) error {
	if !word(s, "-._") {
		return fault.Usage.Permanent("%q is no suite of Debian (such as bookworm)", s)
	}
	return nil
}

// CheckPackage does so with a package's name (Debian Policy 5.6.7).
func CheckPackage(s string) error {
	if !word(s, "-.+:") {
		return fault.Usage.Permanent("%q is no name of a package", s)
	}
	return nil
}

func word(s, also string) bool {
	if s == "" || len(s) > 100 || !letter(rune(s[0])) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !letter(r) && !strings.ContainsRune(also, r) }) < 0
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }

// A line is one of sources.list(5): a suite from a mirror.
type line struct {
	options    string // "[signed-by=...]" or nothing
	uri, suite string
	components string
}

func (l line) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("deb %s %s %s %s", l.options, l.uri, l.suite, l.components)), " ")
}

// Mirrors are the lines by which the suite is reached from the host's configured mirrors; of
// a suite other than the host's own, the same mirrors' under its name.
func Mirrors(etc, suite string) (lines []string, err error) {
	all, err := sources(etc)
	if err != nil {
		return nil, err
	}
	from := suite
	if !slices.ContainsFunc(all, func(l line) bool { return stem(l.suite) == suite }) {
		from = codename(filepath.Join(etc, "../os-release"))
	}
	for _, l := range all {
		rest, ok := strings.CutPrefix(l.suite, from)
		if from == "" || !ok || rest != "" && rest[0] != '-' && rest[0] != '/' {
			continue
		}
		if rest != "" && from != suite && (suite == "sid" || suite == "unstable") { // which has no others beside it
			continue
		}
		l.suite = suite + rest
		lines = append(lines, l.String())
	}
	if len(lines) == 0 {
		return nil, fault.Permanent("%s/sources.list and sources.list.d: name no mirror that has %s (try --mirror URL)", etc, suite)
	}
	return lines, nil
}

func stem(suite string) string {
	s, _, _ := strings.Cut(suite, "/")
	for _, end := range []string{"-updates", "-security", "-backports"} {
		s = strings.TrimSuffix(s, end)
	}
	return s
}

func codename(osRelease string) string {
	text, _ := os.ReadFile(osRelease)
	for l := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), "VERSION_CODENAME="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// sources reads sources.list(5) in both its formats.
func sources(etc string) (all []line, err error) {
	names, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{filepath.Join(etc, "sources.list")}, names...) {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		switch filepath.Ext(name) {
		case ".list":
			all = append(all, oneLine(string(text))...)
		case ".sources":
			all = append(all, deb822(string(text))...)
		}
	}
	return all, nil
}

func oneLine(text string) (all []line) {
	for l := range strings.Lines(text) {
		l, _, _ = strings.Cut(l, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(l), "deb ")
		if !ok {
			continue
		}
		options := ""
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			if options, rest, ok = strings.Cut(rest, "]"); !ok {
				continue
			}
			options += "]"
		}
		if f := strings.Fields(rest); len(f) >= 2 {
			all = append(all, line{options, f[0], f[1], strings.Join(f[2:], " ")})
		}
	}
	return all
}

// deb822 is the other format: a paragraph stands for all its types, URIs and suites.
func deb822(text string) (all []line) {
	fields := map[string]string{}
	flush := func() {
		if slices.Contains(strings.Fields(fields["types"]), "deb") && strings.ToLower(fields["enabled"]) != "no" {
			for _, uri := range strings.Fields(fields["uris"]) {
				for _, suite := range strings.Fields(fields["suites"]) {
					all = append(all, line{bracket(fields), uri, suite, fields["components"]})
				}
			}
		}
		fields = map[string]string{}
	}
	last := ""
	in := bufio.NewScanner(strings.NewReader(text))
	for in.Scan() {
		l := in.Text()
		switch {
		case strings.HasPrefix(l, "#"):
		case strings.TrimSpace(l) == "":
			flush()
		case l[0] == ' ' || l[0] == '\t':
			fields[last] += "\n" + strings.TrimSpace(l)
		default:
			key, value, _ := strings.Cut(l, ":")
			last = strings.ToLower(strings.TrimSpace(key))
			fields[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return all
}

// bracket is what of the options matters to who downloads. A key that stands in the file
// itself has no place in a line.
func bracket(fields map[string]string) string {
	var all []string
	if s := fields["signed-by"]; s != "" && !strings.Contains(s, "\n") {
		all = append(all, "signed-by="+strings.Join(strings.Fields(s), ","))
	}
	if strings.ToLower(fields["trusted"]) == "yes" {
		all = append(all, "trusted=yes")
	}
	if len(all) == 0 {
		return ""
	}
	return "[" + strings.Join(all, " ") + "]"
}
