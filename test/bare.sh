#!/bin/sh
# The README's commands as a new user has them: in a fresh Debian root with Go,
# git and make, and nothing else by luck. The root is a namespace of its own, so
# that nothing stays mounted however this ends.
set -eu
cd "$(dirname "$0")/.."
command -v mmdebstrap >/dev/null || { apt-get -q update && apt-get -q -y --no-install-recommends install mmdebstrap; }

if [ "${1-}" != inside ]; then
	root=$(mktemp -d)
	trap 'rm -rf --one-file-system "$root"' EXIT INT TERM
	mmdebstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root"
	cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
	cp -a "$(go env GOROOT)" "$root/usr/local/"
	git clone -q . "$root/root/uml"
	unshare --mount --pid --fork --kill-child --propagation private "$0" inside "$root"
	exit
fi

root=$2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs dev "$root/dev"
for d in null zero full random urandom tty; do
	cp -a "/dev/$d" "$root/dev/"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/net"
mknod -m 666 "$root/dev/net/tun" c 10 200
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
pivot_root . mnt
umount -l mnt
cd /root/uml
PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset TMPDIR
make demo
make test
