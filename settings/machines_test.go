package settings

import (
	"errors"
	"os"
	"slices"
	"testing"

	"uml/fault"
)

// Nobody who goes through all machines sees one that another does not.
func TestMachines(t *testing.T) {
	root := t.TempDir()
	err := errors.Join(os.Mkdir(root+"/m10", 0o755), os.Mkdir(root+"/m2", 0o755), os.Mkdir(root+"/.hidden", 0o755), os.Mkdir(root+"/a b", 0o755),
		os.WriteFile(root+"/file", nil, 0o644), os.Symlink("m2", root+"/link"), os.Symlink("none", root+"/dangling"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := Machines(root)
	if want := []string{"m10", "m2"}; !slices.Equal(names, want) || err != nil {
		t.Errorf("got %q, %v, want %q", names, err, want)
	}
	for name, want := range map[string]string{root + "/none": root + "/none: there is no such directory", root + "/file": "open " + root + "/file: not a directory"} {
		if names, err := Machines(name); len(names) > 0 || fault.Code(err) != fault.MustMend || err.Error() != want {
			t.Errorf("got %q, %v, want %s", names, err, want)
		}
	}
}
