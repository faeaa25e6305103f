// Package fit makes a guest's own filesystem of a template's copy (paper 2.4). It runs in
// an appliance, in that filesystem.
package fit

import (
	"os"

	"uml/job"
)

// Fit changes the filesystem whose root is /.
func Fit(f *job.Fit) error {
	return os.WriteFile("/etc/hostname", []byte(f.Hostname+"\n"), 0o644)
}
