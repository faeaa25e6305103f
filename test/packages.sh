#!/bin/sh
# Installs what the demo and the tests need and this host lacks: real parts.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
want() { # PACKAGE FILE-OR-COMMAND
	command -v "$2" >/dev/null || missing="$missing $1"
}
want user-mode-linux linux.uml
want uml-utilities uml_mconsole
want daemontools supervise
want busybox-static busybox
want e2fsprogs mkfs.ext4
want iproute2 ip
want iptables iptables
want nftables nft
want ipset ipset
want iputils-ping ping
want arping arping
want tcpdump tcpdump
want procps ps
want tree tree
want prometheus promtool
want radvd radvd
want util-linux nsenter
want mount swapon
want socat socat
want iperf3 iperf3
want frr vtysh
want runit runsv
want s6 s6-supervise
want systemd systemd-analyze
want bsdutils script
want openssh-server sshd
want openssh-client ssh
want rsync rsync
want xfsprogs mkfs.xfs
want btrfs-progs mkfs.btrfs
want fdisk sfdisk
want qemu-utils qemu-img
want mmdebstrap mmdebstrap
want xz-utils xz
want zstd zstd
want zsh zsh
want bash-completion /usr/share/bash-completion/bash_completion
test -z "$missing" && exit 0

echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # and start no service
apt-get -q update
apt-get -q -y --no-install-recommends install $missing
