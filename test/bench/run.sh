#!/bin/bash
# The paper's run script (3.4, 4.2) as an administrator writes it: the measure for
# uml-run. Supervise starts it as root in the machine's directory. What is in place
# already is left; each duty is done by the ordinary tool for it.
set -eu
name=${PWD##*/} root=${PWD%/*}
host=${UML_HOST_SETTINGS:-/etc/uml-run}
tap=tap_$name jail=$PWD/jail

# The suite asks by ARP too, in both forms; the paper's script does not. The bench
# measures it both ways.
arp=

say() { echo "run: $*" >&2; }
fatal() { say "fatal: $*"; exit 111; }

# Settings: one value a file, or a list of lines.
get() { # VARIABLE FILE DEFAULT
	local value=$3
	[ ! -e "$2" ] || read -r value <"$2" || :
	printf -v "$1" %s "$value"
}
get user settings/user "$name"
get mem settings/mem 64M
get swap settings/swap ''
get minup "$host/min-uptime" 120
get stagger "$host/stagger" 600
get timeout "$host/ping-timeout" 1000
addresses=()
[ ! -e settings/ip4 ] || mapfile -t addresses <settings/ip4
uid=$(id -u "$user") gid=$(id -g "$user")
[ "$uid" != 0 ] || fatal "user is root"

# Stop-gaps.
waited=
until read -r up _ </proc/uptime; [ ! -e "$root-nostart" ] && [ "${up%.*}" -ge "$minup" ]; do
	waited=1
	sleep 1
done
[ -z "$waited" ] || [ "$stagger" = 0 ] || sleep $((RANDOM % stagger + 1))

# The guest does not run here; the kernel inherits the lock.
exec 9>lock
flock -n 9 || fatal "the guest is running"

# Structure.
[ -f "$jail/linux" ] && [ -x "$jail/linux" ] || fatal "$jail/linux: no kernel"
discs=()
for disc in "$jail"/ubd[0-7]; do
	[ -f "$disc" ] || fatal "$disc: no disc"
	discs+=("${disc##*/}d=/${disc##*/}")
done
if [ -n "$swap" ]; then
	size=$(numfmt --from=iec "$swap")
	if [ ! -f "$jail/swap" ] || [ "$(stat -c %s "$jail/swap")" != "$size" ]; then
		rm -f "$jail/swap"
		truncate -s "$size" "$jail/swap"
		chmod 600 "$jail/swap"
		mkswap "$jail/swap" >/dev/null 2>&1
		chown "$uid:$gid" "$jail/swap"
	fi
	discs+=(ubd15d=/swap)
fi

# SKAS: every host kernel of today has it, unless tracing is forbidden.
scope=0
[ ! -e /proc/sys/kernel/yama/ptrace_scope ] || read -r scope </proc/sys/kernel/yama/ptrace_scope
[ -e /proc/mm ] || [ "$scope" -lt 2 ] || fatal "kernel.yama.ptrace_scope is $scope"

network=()
if [ ${#addresses[@]} -gt 0 ]; then
	read -r _ _ _ _ ext _ < <(ip -4 route show default)
	printf -v seconds %d.%03d $((timeout / 1000)) $((timeout % 1000))
	for a in "${addresses[@]}"; do
		if [ -n "$arp" ]; then
			arping -q -0 -c1 -w "$seconds" -i "$ext" "$a" >/dev/null 2>&1 & probe=$!
			arping -q -c1 -w "$seconds" -i "$ext" "$a" >/dev/null 2>&1 & request=$!
		fi
		! ping -n -q -c1 -W "$seconds" -I "$ext" "$a" >/dev/null 2>&1 || fatal "$a answers"
		[ -z "$arp" ] || ! wait "$probe" || fatal "$a answers a probe"
		[ -z "$arp" ] || ! wait "$request" || fatal "$a answers a request"
	done

	[ -e "/sys/class/net/$tap" ] || ip tuntap add dev "$tap" mode tap user "$uid"
	ip link set dev "$tap" address "$(printf fe:00:00:%02x:%02x:%02x $((uid >> 16 & 255)) $((uid >> 8 & 255)) $((uid & 255)))" up
	# rp_filter drops what the guest sends from an address that is not routed to it.
	sysctl -qw "net/ipv4/conf/$ext/forwarding=1" "net/ipv4/neigh/$ext/proxy_delay=0" \
		"net/ipv4/conf/$tap/forwarding=1" "net/ipv4/conf/$tap/proxy_arp=1" "net/ipv4/neigh/$tap/proxy_delay=0" \
		"net/ipv4/conf/$tap/rp_filter=1" "net/ipv4/conf/$tap/accept_redirects=0" "net/ipv4/conf/$tap/send_redirects=0"
	for a in "${addresses[@]}"; do
		ip route replace "$a" dev "$tap"
		ip neigh replace proxy "$a" dev "$ext"
	done
	network=("vec0:transport=tap,ifname=$tap,mac=$(printf fe:fd:00:%02x:%02x:%02x $((uid >> 16 & 255)) $((uid >> 8 & 255)) $((uid & 255)))")
fi

# The jail: devices, the libraries of a dynamic kernel, room for guest RAM.
mkdir -p "$jail"/{dev/net,dev/pts,tmp,uml,lib,lib64}
chown "$uid:$gid" "$jail/uml"
node() { # NAME MAJOR MINOR
	[ -c "$jail/dev/$1" ] || mknod -m 666 "$jail/dev/$1" c "$2" "$3"
}
node null 1 3
node ptmx 5 2
node net/tun 10 200
mountpoint -q "$jail/dev/pts" || mount -t devpts -o newinstance,ptmxmode=666,mode=600 devpts "$jail/dev/pts"
mountpoint -q "$jail/tmp" || mount -t tmpfs -o "nosuid,nodev,mode=700,uid=$uid,gid=$gid,size=$((${mem%M} + 4))M" tmpfs "$jail/tmp"
for d in lib lib64; do
	mountpoint -q "$jail/$d" || mount --bind -o ro,nosuid "/$d" "$jail/$d"
done
if [ -e /proc/mm ]; then
	mkdir -p "$jail/proc"
	touch "$jail/proc/mm"
	mountpoint -q "$jail/proc/mm" || mount --bind /proc/mm "$jail/proc/mm"
fi
rm -rf "$jail/uml/$name"

ulimit -c 0 -n 4096 -u 4096
exec env -i TMPDIR=/tmp /usr/sbin/chroot --userspec="$uid:$gid" "$jail" /linux "mem=$mem" "umid=$name" uml_dir=/uml/ \
	"${discs[@]}" "${network[@]}" root=/dev/ubda con=null con0=null,fd:1 con1=pts ssl=null noreboot
