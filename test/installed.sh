#!/bin/sh
# installed.sh DIR: the deb of DIR in a fresh Debian root of its own namespace: installed, upgraded,
# removed and purged, beside a guest's directory that nothing of it may touch. Then the rpm, by Debian's
# rpm, likewise. Who builds them is their maintainer: what lintian has to say of that is no fault of the package.
set -eu
cd "$(dirname "$0")/.."
if [ "${1-}" != inside ]; then
	command -v lintian >/dev/null || { apt-get -q update && apt-get -q -y --no-install-recommends install lintian; }
	lintian --allow-root --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact "$1"/*.deb
	files() { sed 's,^\./,/,; s,/$,,' | grep -v -e '^$' -e changelog.gz -e lintian -e /zsh | sort; }
	dpkg-deb --fsys-tarfile "$1"/*.deb | tar -t | files >"$1/deb.files"
	busybox rpm -qpl "$1"/*.rpm | files >"$1/rpm.files"
	(grep -v -F -x -f "$1/rpm.files" "$1/deb.files" || :) | while read -r d; do grep -q "^$d/" "$1/deb.files" || { echo "not in the rpm: $d"; exit 1; }; done
	! dpkg-deb --fsys-tarfile "$1"/*.deb | tar -xO | grep -a -m 1 -F "$PWD" || { echo "it says where it was built: not the same bytes elsewhere"; exit 1; }
	root=$(mktemp -d)
	trap 'rm -rf --one-file-system "$root"' EXIT INT TERM
	mmdebstrap --variant=minbase --include=iptables,man-db,rpm bookworm "$root"
	rm -f "$root/etc/dpkg/dpkg.cfg.d/"*
	cp "$1"/*.deb "$root/uml.deb"
	cp "$1"/*.rpm "$root/uml.rpm"
	unshare --mount --pid --fork --kill-child --net --propagation private "$0" inside "$root"
	exit
fi
root=$2
mount -t proc proc "$root/proc"
chroot "$root" sh -eux <<'END'
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg -i /uml.deb
uml-check --version
test "$(uml-check --version | sed 's/.* //; s/^(devel)$/v0.0.0-devel/; s/^v//; s/-/~/; s/-/./g')" = "$(dpkg-query -Wf '${Version}' uml)"
man -w uml-run uml-machine uml-shell
test -x /usr/lib/uml/uml-overlay-init -a -x /usr/bin/uml-shell -a -d /etc/uml-run -a -d /machines
test -e /usr/lib/systemd/system/uml@.service
! grep -r /usr/local/sbin/uml /usr/lib/systemd/system /usr/share/doc/uml
getent passwd umllog; getent group uml
dpkg -V uml
put() { grep -v /zsh | while read -r f; do stat -c '%n %A %U:%G %N' "$f"; done | sort; }
dpkg -L uml | put >/deb.put

# A guest, its account, a setting of the host.
useradd --system --user-group --home-dir /machines/web web
install -d /machines/web/settings /var/lib/uml/kernels
ln -s /usr/sbin/uml-run /machines/web/run
echo 0 >/etc/uml-run/stagger
kept() { (cd /; find machines var/lib/uml etc/uml-run -printf '%p %u %m %T@ %l\n'; grep -e web -e umllog etc/passwd; grep uml etc/group); }
kept >/before
uml-check --machines /machines >/checked 2>&1 || test $? -ge 100
dpkg -i /uml.deb
kept | cmp /before -

dpkg -r uml
test ! -e /usr/sbin/uml-run
kept | cmp /before -
dpkg -i /uml.deb
dpkg -P uml >/said 2>&1
cat /said
grep -q 'left as they are.*/machines' /said
kept | cmp /before -
test -z "$(find /usr -name 'uml*' ! -path '*/doc-base/*' -print -quit)"
dpkg -i /uml.deb
dpkg -P uml

rpm() { command rpm --force-debian --nodeps "$@"; } # dpkg, which knows what is depended on, does not tell it
userdel umllog
for again in -i '-U --force' '-i --force'; do # the last is a reinstallation
	rpm $again /uml.rpm
	getent passwd umllog
	uml-check --version
	command rpm -V --nodeps uml
	[ ! -e /before.rpm ] || kept | cmp /before.rpm -
	kept >/before.rpm # with the account, which is new
	command rpm -ql uml | put >/rpm.put
	! grep -v -x -F -f /deb.put /rpm.put
done
rpm -e uml
kept | cmp /before.rpm -
test -z "$(find /usr -name 'uml*' ! -path '*/doc-base/*' -print -quit)"
END
echo "deb and rpm: installed, upgraded, removed, purged: the guest is as it was"
