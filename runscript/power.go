package runscript

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"uml/settings"
)

// seePower says what the discs would lose in a power cut of the host. The kernel's
// driver never syncs a disc's file, whatever the guest asks: what is not opened O_SYNC
// waits until the host writes it back, in no order that a journal could rely on.
func (s *start) seePower(discs []settings.Disc) {
	var kept, lost []string
	for _, d := range discs {
		name := fmt.Sprintf("ubd%d", d.N)
		switch {
		case d.ReadOnly:
		case d.Sync:
			kept = append(kept, name)
		default:
			lost = append(lost, name)
		}
	}
	if len(kept) > 0 {
		s.seen.well("%s synced: what its guest has synced survives a power cut of the host", strings.Join(kept, ", "))
	}
	if len(lost) > 0 {
		s.seen.well("%s not synced: a power cut of the host loses %s, synced in the guest or not, and may damage its filesystem (%s: yes keeps it, and is slow)",
			strings.Join(lost, ", "), writtenBack(), s.dir.Join("settings/sync"))
	}
}

// writtenBack is how long the host may keep what was written: until a page is so old,
// and the thread that writes it back looks (admin-guide/sysctl/vm.rst).
func writtenBack() string {
	expire, interval := centiseconds("dirty_expire_centisecs"), centiseconds("dirty_writeback_centisecs")
	if expire <= 0 || interval <= 0 { // unknown, or never for its age
		return "what was written last"
	}
	return fmt.Sprintf("up to %v of writes", expire+interval)
}

func centiseconds(name string) time.Duration {
	text, err := os.ReadFile("/proc/sys/vm/" + name)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return time.Duration(n) * 10 * time.Millisecond
}
