package overlay

import "strings"

// arguments are what the kernel's command line says to this program.
type arguments struct {
	base string // a block device
	disc string // likewise
	init string // "": the first that is there of those that the kernel tries
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
		}
	}
	return a
}
