package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inventory is all of the host that a guest could leave something in, a line each. What is sized or
// dated by a guest's writing is told by its name alone.
func (h *host) inventory() []string {
	h.Lab.Wait("announcements to end", func() bool { // two seconds after the last start
		return h.Run("pgrep", "-f", "uml-announce").Code != 0
	})
	time.Sleep(7 * time.Second) // svscan looks each five, and closes what was a service's
	out := h.Must("sh", "-c", `
		ip -d link | sed -n 's/^[0-9]*: \([^:]*\):.*/link \1/p; s/^ *altname/altname/p; s/^ *alias/alias/p'
		for f in -4 -6; do
			ip $f route show table all | grep -v 'fe80:\|ff00:' | sed "s/^/route $f /"
			ip $f rule | sed "s/^/rule $f /"
			ip $f neigh show proxy | sed "s/^/published /"
			ip $f neigh show nud permanent | sed "s/^/neighbour /"
		done
		for p in iptables ip6tables; do for t in raw mangle filter nat; do $p -t $t -S | sed "s/^/$p $t /"; done; done
		nft list ruleset 2>/dev/null | grep -v counter | sed 's/^/nft /'
		ipset list 2>/dev/null | sed -n '/^Name/p; /^[0-9a-f].*[.:]/p' | sed 's/ timeout .*//; s/^/ipset /'
		awk '{ print "mount", $4, $5, $9, $10 }' /proc/1/mountinfo
		find /sys/fs/cgroup -type d 2>/dev/null | grep uml | sed 's/^/cgroup /'
		find /run /dev /var/lib/uml ! -path '/dev/pts/*' -printf 'file %p %y %m %U\n' 2>/dev/null
		find /run -type f -path '*uml*' -printf 'size %p %s\n'
		find "$UML_MACHINES"* "$UML_SERVICE" -path '*/log/main/*' -prune -o -printf 'file %p %y %m %U %G %l\n'
		find / -xdev -maxdepth 1 -printf 'file %p\n'
		for f in passwd group shadow gshadow subuid subgid; do test ! -e /etc/$f || cut -d: -f1,3,6 /etc/$f | sed "s/^/$f /"; done
		find /etc -maxdepth 1 -name '*lock*' -printf 'file %p\n'`)
	all := strings.Split(strings.TrimSpace(out), "\n")
	for _, p := range h.ours() {
		all = append(all, "process "+p.name, fmt.Sprintf("descriptors of %s: %d", p.name, p.descriptors))
	}
	slices.Sort(all)
	return all
}

// compare finds what has come and what has gone.
func (h *host) compare(when string, before, after []string) {
	count := func(lines []string) map[string]int {
		n := map[string]int{}
		for _, l := range lines {
			n[l]++
		}
		return n
	}
	b, a := count(before), count(after)
	for _, l := range slices.Compact(after) {
		if a[l] > b[l] && !h.stays(l) {
			h.found(nil, "%s there is more: %d of %q, were %d", when, a[l], l, b[l])
		}
	}
	for _, l := range slices.Compact(before) {
		if b[l] > a[l] {
			h.found(nil, "%s there is less: %d of %q, were %d", when, a[l], l, b[l])
		}
	}
	h.count("checks", fmt.Sprintf("%d lines of inventory compared", len(after)))
	h.say("%s: %d lines of inventory, were %d", when, len(after), len(before))
}

// stays is what the first machine makes for all, as the manual says.
func (h *host) stays(line string) bool {
	return strings.Contains(line, "umllog") || strings.Contains(line, "/run/uml-run.ledger") || line == "file "+h.Machines+"/.new d 700 0 0 " || strings.HasPrefix(line, "group uml:")
}

// unlocked: nobody has a lock of a machine that is down.
func (h *host) unlocked() {
	n := 0
	filepath.WalkDir(h.Machines, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Base(filepath.Dir(name)) == "main" {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			h.found(nil, "%v", err)
			return nil
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			h.found(nil, "all are down, and %s is locked", name)
		}
		n++
		return nil
	})
	h.count("checks", fmt.Sprintf("%d files without a lock", n))
}
