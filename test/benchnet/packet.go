package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/settings"
)

// batch is how many packets make one measurement: some 20 ms.
const batch = 20000

// packets sends from the last guest of each host in turns: the kernel forwards a
// packet before the write that brings it returns.
func packets(rounds int, ours, papers []*host, bare *host) error {
	all := append(append(slices.Clone(ours), papers...), bare)
	for round := range rounds + 1 {
		for _, h := range all {
			ns, err := h.send()
			if err != nil {
				return err
			}
			if round > 0 { // the first warms up
				h.times = append(h.times, ns)
			}
		}
	}
	fmt.Printf("\nOne packet of a guest, forwarded (%d turns of %d packets)\n  %-28s %10s %8s\n", rounds, batch, "", "ns", "ratio")
	line := func(what string, h, to *host) {
		fmt.Printf("  %-28s %10.0f %8.2f\n", what, median(h.times), median(h.times)/median(to.times))
	}
	line("a TAP by hand, no rule", bare, bare)
	for _, h := range ours {
		line(fmt.Sprintf("suite, %d guests", h.guests), h, ours[0])
	}
	for _, h := range papers {
		line(fmt.Sprintf("paper's rules, %d guests", h.guests), h, papers[0])
	}
	return nil
}

func (h *host) send() (ns float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	frame, fd := datagram(h.last), int(h.tap.Fd())
	start := time.Now()
	for range batch {
		if _, err := unix.Write(fd, frame); err != nil {
			return 0, fmt.Errorf("write to %s: %w", h.tap.Name(), err)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / batch, nil
}

// datagram is one of 22 bytes by UDP to somewhere beyond the router.
func datagram(m *settings.Machine) []byte {
	const size = 20 + 8 + 22
	f := append(append(append([]byte{}, m.HostMAC()...), m.MAC...), 0x08, 0x00)
	ip := make([]byte, size)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], size)
	copy(ip[12:], m.IP4[0].Addr().AsSlice())
	copy(ip[16:], []byte{203, 0, 113, 9})
	binary.BigEndian.PutUint16(ip[20:], 9)
	binary.BigEndian.PutUint16(ip[22:], 9)
	binary.BigEndian.PutUint16(ip[24:], size-20) // no checksum: IPv4 lets it be
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return append(f, ip...)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
