package shell

import (
	"fmt"
	"strings"

	"uml/fault"
)

// maxLine bounds a command: that which adds a key is the longest.
const maxLine = 12 << 10

// foreign are the programs that others send to have run at this end; none is here.
var foreign = []string{"scp", "sftp", "sftp-server", "internal-sftp", "rsync", "git-upload-pack", "git-receive-pack", "git-upload-archive", "sh", "bash"}

// words takes a command apart, by one rule: words stand between blanks. Whatever is
// more to other shells, quotes, variables, patterns or separators, is refused, not
// taken for itself.
func words(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, fault.Permanent("a command of %d bytes, at most %d are read", len(line), maxLine)
	}
	for _, r := range line {
		if strings.ContainsRune(plain, r) {
			continue
		}
		return nil, fault.Permanent("%q has no meaning here: a command is words and blanks (try: help)", r)
	}
	return strings.Fields(line), nil
}

// plain is what commands are made of: base64 and the comments of keys among it.
const plain = " \tabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/+=@"

// find is the command that the first word names.
func find(name string) (*command, error) {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i], nil
		}
	}
	base := name[strings.LastIndexByte(name, '/')+1:]
	for _, f := range foreign {
		if base == f {
			return nil, fault.Permanent("%s: no files and no programs can be reached here (try: help)", base)
		}
	}
	return nil, fault.Permanent("%.40q is no command (try: help)", name)
}

// usage is what is wrong with a command's arguments.
func (c *command) usage() error {
	return fault.Permanent("%s", fmt.Sprintf("usage: %s", strings.TrimSpace(c.name+" "+c.args)))
}
