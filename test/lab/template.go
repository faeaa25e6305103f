package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Template makes a template by hand, as what is in files says beside a small system of busybox
// and the host's sshd, and returns its image. It was used: keys, logs and an id are in it.
func (l *Lab) Template(name string, files map[string]string) string {
	l.t.Helper()
	tree := filepath.Join(l.Dir, name+".tree")
	if err := templateTree(tree, files); err != nil {
		l.t.Fatalf("lab: template %s: %v", name, err)
	}
	return l.TemplateOf(name, tree, "64M")
}

// TemplateOf makes one of a tree.
func (l *Lab) TemplateOf(name, tree, size string) string {
	l.t.Helper()
	image := filepath.Join(Templates, name+"@20261129T010203Z.img")
	l.Must("sh", "-ec", `truncate -s "$1" "$2"; mkfs.ext4 -q -F -b 4096 -d "$3" "$2"; chmod 444 "$2"`, "sh", size, image, tree)
	return image
}

// used is what no two guests may have in common, and what tells of the one that was copied.
var used = map[string]string{
	"etc/ssh/ssh_host_ed25519_key":     "old",
	"etc/ssh/ssh_host_ed25519_key.pub": "old",
	"etc/ssh/ssh_host_rsa_key":         "old",
	"etc/ssh/ssh_host_ecdsa_key":       "old",
	"etc/ssh/sshd_config":              "UsePAM no\nPermitRootLogin no\nPidFile none\nHostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /etc/ssh/ssh_host_rsa_key\nHostKey /etc/ssh/ssh_host_ecdsa_key\n",
	"etc/machine-id":                   "0123456789abcdef0123456789abcdef\n",
	"etc/hostname":                     "template\n",
	"etc/hosts":                        "127.0.0.1 localhost\n127.0.1.1 template\n198.51.100.7 archive\n",
	"etc/fstab":                        "/dev/hda1 / ext3 defaults 0 1\n/dev/hda2 none swap sw 0 0\n",
	"etc/passwd":                       "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74::/run/sshd:/bin/false\n",
	"etc/group":                        "root:x:0:\nsshd:x:74:\n",
	"etc/shadow":                       "root:$6$old$old:1:0:99999:7:::\nsshd:!:1::::::\n",
	"root/.bash_history":               "secret\n",
	"var/log/messages":                 "secret\n",
	"etc/inittab": `::sysinit:/etc/rc
::respawn:/bin/nc -ll -p ` + shellPort + ` -e /bin/sh
::respawn:/usr/sbin/sshd -D -e
tty1::respawn:/bin/sh -l
tty2::respawn:/sbin/getty 38400 tty2
::ctrlaltdel:/bin/halt
::shutdown:/bin/umount -a -r
`,
	"etc/rc": `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -o remount,rw /
hostname -F /etc/hostname
insmod /lib/crc-ccitt.ko
insmod /lib/ipv6.ko
swapon -a
echo guest up
`,
}

func templateTree(tree string, files map[string]string) error {
	if err := guestTree(tree); err != nil {
		return err
	}
	for _, dir := range []string{"run/sshd", "var/empty", "usr/sbin", "usr/lib", "etc/ssh"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	if err := bring(tree, "/usr/sbin/sshd"); err != nil {
		return err
	}
	for _, all := range []map[string]string{used, files} {
		for name, text := range all {
			name = filepath.Join(tree, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			mode := os.FileMode(0o644)
			if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
				mode = 0o755
			} else if strings.HasSuffix(name, "_key") {
				mode = 0o600
			}
			if err := errors.Join(os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
				return err
			}
		}
	}
	return os.Chmod(filepath.Join(tree, "root"), 0o700)
}

// bring copies a program of the host and the libraries that it says it needs.
func bring(tree, program string) error {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return err
	}
	files := []string{program}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	for _, f := range files {
		to := filepath.Join(tree, f)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := copyFile(f, to, 0o755); err != nil {
			return err
		}
	}
	return nil
}
