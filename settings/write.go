package settings

import "uml/handle"

// Write sets one of the machine's settings, "" for none. It is written beside the
// settings, since a file among them is one.
func Write(dir *handle.Dir, name, value string) error {
	if value != "" {
		value += "\n"
	}
	return dir.Replace("."+name+".new", "settings/"+name, value)
}
