package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// customers is the group of the accounts that log in, as in examples/sshd.
const customers = "uml"

// Accounts gives the machines' accounts what an installer would: the machine's
// directory as home, uml-shell, and the group. They log in with Key.
func (l *Lab) Accounts(machines ...*Machine) {
	l.t.Helper()
	key := l.Key()
	if err := copyFile(filepath.Join(l.Bin, "uml-shell"), l.Shell(), 0o755); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	var names []string
	for _, m := range machines {
		m.Login(l.Shell())
		l.unlock(m.Name)
		names = append(names, m.Name)
		ssh := filepath.Join(m.Dir, ".ssh")
		if err := os.MkdirAll(ssh, 0o755); err != nil {
			l.t.Fatalf("lab: %v", err)
		}
		public, err := os.ReadFile(key + ".pub")
		if err != nil {
			l.t.Fatalf("lab: %v", err)
		}
		l.write(filepath.Join(ssh, "authorized_keys"), "restrict,pty "+strings.TrimSpace(string(public)))
	}
	l.addAccount("group", customers+":x:"+strconv.Itoa(firstUID-1)+":"+strings.Join(names, ","))
}

// Shell is uml-shell where accounts reach it: whose checkout this is may keep them out.
func (l *Lab) Shell() string { return filepath.Join(l.Dir, "uml-shell") }

// unlock: sshd without PAM lets no locked account in.
func (l *Lab) unlock(name string) {
	l.t.Helper()
	file := filepath.Join(l.Dir, "etc/shadow")
	text, err := os.ReadFile(file)
	if err == nil {
		text = bytes.Replace(text, []byte(name+":!:"), []byte(name+":*:"), 1)
		err = os.WriteFile(file, text, 0o644) // in place: it is a mount
	}
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
}

// Key is a customer's private key.
func (l *Lab) Key() string {
	l.t.Helper()
	key := filepath.Join(l.Dir, "key")
	if _, err := os.Stat(key); err != nil {
		l.Must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "customer", "-f", key)
	}
	return key
}

// SSHD starts the host's sshd, with more settings: those for machine accounts.
func (l *Lab) SSHD(more string) {
	l.t.Helper()
	host := filepath.Join(l.Dir, "host-key")
	l.Must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host)
	config := filepath.Join(l.Dir, "sshd_config")
	l.write(config, `ListenAddress 0.0.0.0
HostKey `+host+`
PidFile none
UsePAM no
PrintLastLog no
MaxStartups 200
PerSourcePenalties no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
`+more)
	if old := l.Run("sshd", "-t", "-f", config); strings.Contains(old.Err, "PerSourcePenalties") { // OpenSSH 9.8 has it
		text, _ := os.ReadFile(config)
		l.write(config, strings.Replace(string(text), "PerSourcePenalties no\n", "", 1))
	}
	l.Must("install", "-d", "/run/sshd")
	l.Must("sshd", "-t", "-f", config)
	daemon := l.daemon(l.Dir, "/usr/sbin/sshd", "-D", "-f", config, "-E", filepath.Join(l.Dir, "sshd.log"))
	if err := daemon.Start(); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	go daemon.Wait()
	l.Wait("sshd", func() bool {
		log, _ := os.ReadFile(filepath.Join(l.Dir, "sshd.log"))
		return strings.Contains(string(log), "listening")
	})
}

// SSH is the command by which a customer on the other host logs in as account; more
// options and the remote command may be added.
func (l *Lab) SSH(account string, options ...string) []string {
	ssh := []string{"ip", "netns", "exec", "other", "ssh", "-F", "none", "-q", "-i", l.Key(), "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"}
	return append(append(ssh, options...), account+"@"+HostIP4)
}
