package cmdline

import (
	"errors"
	"os"
	"path"
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
	there, _ := All(machines)
	near := spelling.Nearest(name, there)
	if len(near) == 0 {
		return "", fault.Permanent("%s: there is no such machine", dir)
	}
	return "", fault.Permanent("%s: there is no such machine (did you mean %s?)", dir, strings.Join(near, " or "))
}

// All are the names of all machines below a machines root, sorted.
func All(machines string) ([]string, error) {
	entries, err := os.ReadDir(machines)
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.Permanent("%s: there is no such directory", machines)
	}
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	var names []string
	for _, e := range entries {
		st, err := os.Stat(path.Join(machines, e.Name()))
		if err == nil && st.IsDir() && settings.CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
