package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/netfilter_ipv4/ip_tables.h and its twin for IPv6.
const (
	getInfo    = 64 // IPT_SO_GET_INFO
	getEntries = 65 // IPT_SO_GET_ENTRIES
)

// info is struct ipt_getinfo.
type info struct {
	name       [32]byte
	validHooks uint32
	hooks      [5]uint32
	underflow  [5]uint32
	entries    uint32
	size       uint32
}

// A layout is where struct ipt_entry and struct ip6t_entry have their parts.
type layout struct {
	match   int // end of addresses, interfaces and protocol
	offsets int // of the target and of the next entry, 16 bits each
	matches int
}

var layouts = map[family]layout{four: {84, 88, 112}, six: {133, 140, 168}}

// legacy are the rules of iptables-legacy's table raw, and its chains' names. To
// ask for a table makes it, with hooks that every packet passes: so one is asked
// for only where it is there.
func legacy(f family) (rules []rule, chains []string, err error) {
	names, err := os.ReadFile(map[family]string{four: "/proc/thread-self/net/ip_tables_names", six: "/proc/thread-self/net/ip6_tables_names"}[f])
	if err != nil || !strings.Contains("\n"+string(names), "\n"+table+"\n") {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return nil, nil, err
	}
	i, blob, err := f.entries()
	if err != nil {
		return nil, nil, fmt.Errorf("read %s's table %s of iptables-legacy: %w", f, table, err)
	}
	rules, chains = parseLegacy(layouts[f], i, blob)
	return rules, chains, nil
}

// entries reads the table as it is; it may change its size between the two calls.
func (f family) entries() (i info, blob []byte, err error) {
	s, err := unix.Socket(int(f), unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return i, nil, err
	}
	defer unix.Close(s)
	level := map[family]int{four: unix.SOL_IP, six: unix.SOL_IPV6}[f]
	for range 20 {
		copy(i.name[:], table)
		b := unsafe.Slice((*byte)(unsafe.Pointer(&i)), unsafe.Sizeof(i))
		if err = getsockopt(s, level, getInfo, b); err != nil {
			return i, nil, err
		}
		blob = make([]byte, 40+i.size) // struct ipt_get_entries: name, size, and aligned to 8
		copy(blob, table)
		binary.NativeEndian.PutUint32(blob[32:], i.size)
		if err = getsockopt(s, level, getEntries, blob); !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	return i, blob[min(40, len(blob)):], err
}

func getsockopt(s, level, name int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// parseLegacy reads entries that lie one behind the other. A chain of the user's
// begins with one whose target is called ERROR and holds the chain's name; jumps
// are offsets.
func parseLegacy(l layout, i info, blob []byte) (rules []rule, chains []string) {
	type place struct {
		at   int
		rule rule
		jump int
	}
	var places []place
	starts := map[int]string{int(i.hooks[0]): entry} // NF_INET_PRE_ROUTING
	chain := ""
	for at := 0; at+l.matches <= len(blob); {
		e := blob[at:]
		target, next := int(binary.NativeEndian.Uint16(e[l.offsets:])), int(binary.NativeEndian.Uint16(e[l.offsets+2:]))
		if target < l.matches || target+36 > next || next > len(e) {
			break
		}
		if at == int(i.hooks[3]) { // NF_INET_LOCAL_OUT
			chain = "OUTPUT"
		}
		if s, ok := starts[at]; ok {
			chain = s
		}
		name := text0(e[target+2 : target+31])
		if name == "ERROR" {
			if slices.Contains(chains, chain) { // the rule before returns from its chain, unwritten
				places = places[:len(places)-1]
			}
			if at+next < len(blob) { // the last one ends the table
				chain = text0(e[target+32 : next])
				starts[at+next] = chain
				chains = append(chains, chain)
			}
			at += next
			continue
		}
		p := place{at, rule{chain: chain, body: string(e[:l.match]) + string(e[l.matches:target])}, -1}
		p.rule.body += name
		if v := int(int32(binary.NativeEndian.Uint32(e[target+32:]))); name == "" && v >= 0 {
			p.jump = v
		} else {
			p.rule.body += string(e[target+31 : next])
		}
		places = append(places, p)
		at += next
	}
	for _, p := range places {
		p.rule.jump = starts[p.jump]
		p.rule.body += p.rule.jump
		rules = append(rules, p.rule)
	}
	return rules, chains
}

// text0 is a string of C.
func text0(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
