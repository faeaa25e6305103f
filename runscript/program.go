package runscript

import (
	"os"
	"path/filepath"
)

// Program is where uml-run is: beside this program, wherever the suite was installed.
func Program() string {
	self, err := os.Executable()
	if err != nil {
		return "/usr/local/sbin/uml-run"
	}
	return filepath.Join(filepath.Dir(self), "uml-run")
}
