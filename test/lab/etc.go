package lab

import "fmt"

// OwnEtc gives the lab an /etc of its own, in which useradd(8) can work: it renames a new
// file over the old one, and writes locks and copies beside. The accounts that it makes
// there have numbers of this lab.
func (l *Lab) OwnEtc() {
	l.t.Helper()
	system := l.uid + uidsPerLab/2
	l.Must("sh", "-ec", `cp -an /etc/. etc
		umount /etc/passwd /etc/group /etc/shadow
		sed -i -E '/^#?SYS_[UG]ID_(MIN|MAX)/d' etc/login.defs
		printf 'SYS_UID_MIN %d\nSYS_UID_MAX %d\nSYS_GID_MIN %d\nSYS_GID_MAX %d\n' $1 $2 $1 $2 >>etc/login.defs
		chmod 640 etc/shadow
		mount --bind etc /etc`, "sh", fmt.Sprint(system), fmt.Sprint(system+uidsPerLab/2-1))
}
