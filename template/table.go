package template

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"uml/fault"
)

// Table is templates as lines for a terminal.
func Table(all []*Template) []string {
	if len(all) == 0 {
		return nil
	}
	wide := len("TEMPLATE")
	for _, t := range all {
		wide = max(wide, len(t.Full()))
	}
	lines := []string{fmt.Sprintf("%-*s %7s %7s %8s  %s", wide, "TEMPLATE", "SIZE", "ON DISC", "PACKAGES", "SYSTEM")}
	for _, t := range all {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%-*s %7s %7s %8d  %s", wide, t.Full(), human(t.Size), human(t.onDisc()), len(t.Packages), fault.Line(t.System)), " "))
	}
	return lines
}

// onDisc is what the image takes of the host's filesystem.
func (t *Template) onDisc() int64 {
	st, err := os.Stat(t.Image())
	if err != nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Blocks * 512
}

func human(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%dG", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%dM", n>>20)
}

// Lines are what is known of a template, and whose discs stand on it.
func (t *Template) Lines(users []string) (lines []string) {
	say := func(key, value string) {
		if value != "" {
			lines = append(lines, fmt.Sprintf("%-12s %s", key, fault.Line(value)))
		}
	}
	yes := map[bool]string{true: "yes", false: "no"}
	say("template", t.Full())
	say("image", t.Image())
	say("system", t.System)
	say("made", t.Made.Local().Format("2006-01-02 15:04:05 -0700")+", by uml-template "+t.By)
	say("source", t.Source)
	say("update of", t.From)
	say("size", fmt.Sprintf("%s, %s of it used, %s on disc", human(t.Size), human(t.Used), human(t.onDisc())))
	say("filesystem", fmt.Sprintf("%s, %d files and directories", t.Filesystem, t.Inodes))
	say("init", t.Init)
	say("network", t.Network)
	say("ssh", yes[t.SSH])
	say("cloud-init", yes[t.Cloud])
	if t.Manager != "" {
		say("packages", fmt.Sprintf("%d, by %s", len(t.Packages), t.Manager))
	}
	say("sha256", t.SHA256)
	say("stand on it", strings.Join(users, ", "))
	return lines
}
