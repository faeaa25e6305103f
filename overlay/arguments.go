package overlay

import "strings"

// arguments are what the kernel's command line says to this program.
type arguments struct {
	base string // a block device
	disc string // likewise
	init string // "": the first that is there of those that the kernel tries

	// Of a plain root, as the kernel itself takes them (init/do_mounts.c).
	root     string // "": none
	kinds    string // of filesystem, with commas between; "": each that the kernel has
	options  string // for that
	writable bool
}

// parse takes the last of each, as the kernel does. What follows "--" is init's.
func parse(line string) arguments {
	a := arguments{base: "/dev/ubda", disc: "/dev/ubdb"}
	line, _, _ = strings.Cut(line+" ", " -- ")
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		switch base, disc, two := strings.Cut(value, ","); {
		case name == "overlay" && two && base != "" && disc != "":
			a.base, a.disc = base, disc
		case name == "init" && value != "":
			a.init = value
		case name == "root":
			a.root = value
		case name == "rootfstype":
			a.kinds = value
		case name == "rootflags":
			a.options = value
		case word == "rw" || word == "ro":
			a.writable = word == "rw"
		}
	}
	return a
}
