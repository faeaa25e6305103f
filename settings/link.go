package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A Link is what a machine's settings say of its link alone: enough for who goes
// through all machines, and must be stopped by no fault of another setting.
type Link struct {
	TAP string
	IP6 netip.Prefix // the /64 on it; the zero Prefix: none
}

// ReadLink reads the link of the machine directory dir, named name. Only the
// settings that it follows from are looked at.
func ReadLink(dir *handle.Dir, name string, accounts *Accounts) (Link, error) {
	d, err := openSettings(dir, "settings")
	if err != nil {
		return Link{}, err
	}
	defer d.Close()
	m := &Machine{Name: name, User: Account{Name: name}, Net: Net{Kind: -1}}
	for _, setting := range []string{"ip6", "net", "tap", "user"} {
		err := readFile(d, handle.Entry{Name: setting}, m.set)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return Link{}, err
		}
		if len(m.IP6) == 0 || m.Net.Kind >= 0 && m.Net.Kind != Routed {
			return Link{}, nil
		}
		if m.TAP != "" {
			break
		}
	}
	if p := m.IP6[0]; p.Bits() != 64 {
		return Link{}, fault.SettingBad.Permanent("%s: %q is a single address, which only a bridged guest has", d.Join("ip6"), p.Addr())
	}
	if m.TAP == "" && !m.namesTAP() {
		m.User, err = accounts.find(m.User.Name)
		if err != nil {
			return Link{}, fmt.Errorf("%s: %w", d.Join("user"), err)
		}
	}
	m.setTAP()
	return Link{m.TAP, m.IP6[0]}, nil
}

// Accounts looks up many accounts. Each look-up by os/user reads /etc/passwd from
// its start, so that a name for each of 10,000 machines takes seconds.
type Accounts struct {
	once sync.Once
	uids map[string]int
}

func (a *Accounts) find(name string) (Account, error) {
	a.once.Do(a.read)
	if uid := a.uids[name]; uid > 0 {
		return Account{Name: name, UID: uid}, nil
	}
	return lookup(name)
}

// read takes what is plain: all else is left to lookup, and its message.
func (a *Accounts) read() {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return
	}
	a.uids = map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, ":")
		if len(f) < 7 || f[0] == "" || f[0][0] == '+' || f[0][0] == '-' || f[0][0] == '#' {
			continue
		}
		if _, seen := a.uids[f[0]]; seen {
			continue // the first one counts
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil || f[3] == "0" {
			uid = -1
		}
		a.uids[f[0]] = uid
	}
}
