package probe

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Filters are classic BPF: Ethernet's protocols, ICMP and ARP have all they need
// at fixed places, and no privilege beyond the socket's is needed.

func attach(fd int, code []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	return nil
}

const (
	accept = 0xffff // bytes
	reject = 0
)

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

func load(size uint16, at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | size | unix.BPF_ABS, K: at}
}

// jump compares what was loaded, and skips so many instructions if it is so, or
// not so.
func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

// echoFilter takes echo replies, code 0, with our id. X is where the ICMP message
// starts: raw IPv4 sockets see the IP header before it.
func echoFilter(k kind, id uint16) []unix.SockFilter {
	start := unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_IMM, K: 0}
	if k == echo4 {
		start = unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0} // 4 * (packet[0] & 0xf)
	}
	return []unix.SockFilter{
		start,
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 0},
		jump(unix.BPF_JEQ, uint32(k.reply)<<8, 0, 3),
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 4},
		jump(unix.BPF_JEQ, uint32(id), 0, 1),
		ret(accept),
		ret(reject),
	}
}

// packetType is where the kernel shows a filter to whom a frame is addressed:
// SKF_AD_OFF + SKF_AD_PKTTYPE of linux/filter.h.
const packetType = 1<<32 - 0x1000 + 4

// forUs lets frames for other hosts go by, and those of a VLAN that this host is
// not in: to the kernel they are the same.
func forUs(rest ...unix.SockFilter) []unix.SockFilter {
	return append([]unix.SockFilter{
		load(unix.BPF_W, packetType),
		jump(unix.BPF_JEQ, unix.PACKET_OTHERHOST, 0, 1),
		ret(reject),
	}, rest...)
}

// maxRanges keeps a program within the kernel's limits: 4096 instructions, and
// net.core.optmem_max, 20480 bytes on old hosts, for all of a socket's options.
const maxRanges = 256

// among ends a program: it accepts a packet if what was loaded is one of values.
// Neighbours make one range, since a machine's addresses often are a block. Too
// many for a program are taken for one range: more gets through then, and is
// looked at.
func among(values []uint32) (code []unix.SockFilter) {
	for _, r := range ranges(values) {
		code = append(code,
			jump(unix.BPF_JGE, r.first, 0, 2),
			jump(unix.BPF_JGT, r.last, 1, 0),
			ret(accept))
	}
	return append(code, ret(reject))
}

type span struct{ first, last uint32 }

func ranges(values []uint32) (all []span) {
	values = slices.Sorted(slices.Values(values))
	for _, v := range values {
		if n := len(all); n > 0 && v-all[n-1].last <= 1 {
			all[n-1].last = v
		} else {
			all = append(all, span{v, v})
		}
	}
	if n := len(all); n > maxRanges {
		all = []span{{all[0].first, all[n-1].last}}
	}
	return all
}
