package shell

import (
	"path"
	"slices"
	"strings"

	"uml/fault"
	"uml/request"
	"uml/spelling"
)

const (
	// maxLine bounds a command, in bytes.
	maxLine = 4 << 10
	// maxKeyLine bounds one that adds a key: the request that it becomes has to hold it.
	maxKeyLine = request.Max - 256
)

// foreign are the programs that ssh(1) and others ask for at this end; none is here.
var foreign = []string{
	"scp", "sftp", "sftp-server", "internal-sftp", "rsync", "rrsync", "tar", "borg", "git", "git-shell", "git-upload-pack",
	"git-receive-pack", "git-upload-archive", "svnserve", "hg", "cvs", "mosh-server", "tmux", "screen", "sh", "bash", "cat", "env",
}

// plain is what commands are made of: base64 and the comments of keys among it.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/+=@"

// parse takes a line apart, by one rule: words stand between blanks, and the first is
// a command's name. Whatever is more to other shells, quotes, variables, patterns or
// separators, is refused, not taken for itself. Of an empty line c is nil.
func parse(line string) (c *command, args []string, err error) {
	if len(line) > maxKeyLine {
		return nil, nil, tooLong(maxKeyLine)
	}
	if first := firstWord(line); slices.Contains(foreign, first) {
		return nil, nil, fault.Usage.Permanent("%s: this account has no files and no programs: it can only look after its guest (try: help)", first)
	}
	for _, r := range line {
		if !strings.ContainsRune(plain+" \t", r) {
			return nil, nil, fault.Usage.Permanent("%q has no meaning here: a command is words and blanks (try: help)", r)
		}
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, nil, nil
	}
	if c, err = find(words[0]); err != nil {
		return nil, nil, err
	}
	adds := c.name == "keys" && len(words) > 1 && words[1] == "add"
	if len(line) > maxLine && !adds {
		return nil, nil, tooLong(maxLine)
	}
	return c, words[1:], nil
}

func tooLong(most int) error { return fault.Usage.Permanent("a command of more than %d bytes", most) }

// firstWord is what would be the program's name, were there programs.
func firstWord(line string) string {
	line = strings.TrimLeft(line, " \t")
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		line = line[:i]
	}
	return path.Base(line)
}

// find is the command of that very name.
func find(name string) (*command, error) {
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name || slices.Contains(c.also, name) })
	if i >= 0 {
		return &commands[i], nil
	}
	meant := ""
	if near := spelling.Nearest(name[:min(len(name), 40)], names()); len(near) > 0 {
		meant = "did you mean " + strings.Join(near, " or ") + "? "
	}
	return nil, fault.Usage.Permanent("%.40q is no command (%stry: help)", name, meant)
}

// names are the commands', as they are shown and completed.
func names() (all []string) {
	for _, c := range commands {
		all = append(all, c.name)
	}
	return all
}

// usage is what is wrong with a command's arguments.
func (c *command) usage() error {
	return fault.Usage.Permanent("usage: %s (try: help %s)", c.form(), c.name)
}

// form is how it is typed.
func (c *command) form() string { return strings.TrimSpace(c.name + " " + c.args) }
