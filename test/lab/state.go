package lab

// State is everything of the host that a failed start or a command that only
// looks must not change: links, addresses, routes, published neighbours,
// firewall, mounts, and each file of the machines with owner, mode, size and
// time. The lock file, supervise's own directory, and the firewall's rules that are
// for all guests do not count.
func (l *Lab) State() string {
	l.t.Helper()
	return l.Must("sh", "-ec", `
		ip -d link
		ip addr
		for f in -4 -6; do
			ip $f route show table all
			ip $f rule
			ip $f neigh show proxy
			ip $f neigh show nud permanent
			test $f = -6 && iptables=ip6tables || iptables=iptables
			for t in raw mangle filter nat; do $iptables -t $t -S | grep -v UML-; done
		done
		cat /proc/1/mountinfo
		grep -r . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/neigh /proc/sys/net/ipv6/conf 2>/dev/null || :
		find "$UML_MACHINES"* \( -name lock -o -name supervise \) -prune -o -printf '%P %y %m %U %G %l ' \( -type d -printf '\n' -o -printf '%s %T@\n' \) | sort`)
}
