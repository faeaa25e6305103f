package check

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// accounts finds names that are one and the same user: whoever has the other one
// owns the guest's discs.
func (c *checker) accounts() {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		c.host.fail("accounts", err)
		return
	}
	names := namesOf(string(text))
	clash := false
	for _, m := range c.machines {
		if m.Machine == nil {
			continue
		}
		u := m.Machine.User
		others := slices.DeleteFunc(slices.Clone(names[u.UID]), func(n string) bool { return n == u.Name })
		if len(others) > 0 {
			clash = true
			m.warn("user", "user id %d is also %s in /etc/passwd (try: usermod --uid NUMBER %s; chown -R %s: %s)", u.UID, few(others), u.Name, u.Name, m.Machine.Real+"/jail")
		}
	}
	if !clash {
		c.host.ok("accounts", "no machine's account has a second name")
	}
}

// namesOf are the names of each user id in a passwd(5) file.
func namesOf(passwd string) map[int][]string {
	names := map[int][]string{}
	for line := range strings.Lines(passwd) {
		f := strings.Split(line, ":")
		if len(f) < 7 {
			continue
		}
		if uid, err := strconv.Atoi(f[2]); err == nil && !slices.Contains(names[uid], f[0]) {
			names[uid] = append(names[uid], f[0])
		}
	}
	return names
}
