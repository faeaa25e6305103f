package cmdline

import (
	"errors"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
	"uml/spelling"
)

// Locate is settings.Locate for a machine that must be there: of a name that none
// has, the nearest ones are said.
func Locate(c *cli.Context, name string) (string, error) {
	machines := c.String("machines")
	dir, err := settings.Locate(machines, name)
	if err != nil || strings.Contains(name, "/") {
		return dir, err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, unix.ENOENT) {
		return dir, nil
	}
	there, _ := settings.Machines(machines)
	near := spelling.Nearest(name, there)
	if len(near) == 0 {
		return "", fault.MachineMissing.Permanent("%s: there is no such machine", dir)
	}
	return "", fault.MachineMissing.Permanent("%s: there is no such machine (did you mean %s?)", dir, strings.Join(near, " or "))
}
