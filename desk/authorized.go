package desk

import (
	"crypto/rsa"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

const (
	sshDir  = ".ssh"
	keyFile = "authorized_keys"
	newFile = ".authorized_keys.new"

	maxKeys    = 32
	maxKeyFile = 64 << 10
	maxComment = 64
	minRSA     = 2048 // bits; sshd's RequiredRSASize is 1024 by default
)

// ours are the options of each key that an account gives itself: nothing is
// forwarded, and a terminal may be had (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
var ours = []string{"restrict", "pty"}

// authorized is an authorized_keys file, line by line.
type authorized []keyLine

// A keyLine is one, with its key where it has one.
type keyLine struct {
	text    string
	key     ssh.PublicKey // nil: a comment, or what sshd would not understand either
	options []string
	comment string
}

func (l keyLine) fingerprint() string { return ssh.FingerprintSHA256(l.key) }

// removable: an account's own keys, and those that the administrator has given it
// without saying what for.
func (l keyLine) removable() bool { return len(l.options) == 0 || slices.Equal(l.options, ours) }

func parseAuthorized(text string) (all authorized) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		l := keyLine{text: line}
		if key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			l.key, l.comment, l.options = key, comment, options
		}
		all = append(all, l)
	}
	return all
}

// show lists the keys.
func (all authorized) show() string {
	var lines []string
	for _, l := range all {
		if l.key == nil {
			continue
		}
		s := l.fingerprint() + " " + l.key.Type()
		if c := plainComment(l.comment); c != "" {
			s += " " + c
		}
		if !l.removable() {
			s += " (the administrator's, stays)"
		}
		lines = append(lines, s)
	}
	return strings.Join(lines, "\n")
}

// add adds a key, as somebody pasted it.
func (all *authorized) add(line string) (text string, err error) {
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(line)))
	if err != nil || len(rest) > 0 {
		return "", fault.Permanent("this is no public key (it is the one line of a file such as id_ed25519.pub)")
	}
	if len(options) > 0 {
		return "", fault.Permanent("options before a key are not taken (give the key alone)")
	}
	if err := fit(key); err != nil {
		return "", err
	}
	print := ssh.FingerprintSHA256(key)
	n := 0
	for _, l := range *all {
		if l.key == nil {
			continue
		}
		n++
		if l.fingerprint() == print {
			return "", fault.Permanent("%s: is there already", print)
		}
	}
	if n >= maxKeys {
		return "", fault.Permanent("there are %d keys, which is all that there may be (remove one)", n)
	}
	l := strings.Join(ours, ",") + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if c := plainComment(comment); c != "" {
		l += " " + c
	}
	*all = append(*all, parseAuthorized(l)...)
	return print + " added", nil
}

// kinds are the keys that sshd takes by default.
var kinds = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoRSA,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256,
}

func fit(key ssh.PublicKey) error {
	if !slices.Contains(kinds, key.Type()) {
		return fault.Permanent("%s: keys of this kind are not taken (try: ssh-keygen -t ed25519)", key.Type())
	}
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
		return fault.Permanent("an RSA key of %d bits is too weak (try: ssh-keygen -t ed25519)", r.N.BitLen())
	}
	return nil
}

// drop removes the key of a fingerprint.
func (all *authorized) drop(print string) (text string, err error) {
	var left authorized
	keys, found := 0, false
	for _, l := range *all {
		switch {
		case l.key == nil:
		case l.fingerprint() != print:
			keys++
		case !l.removable():
			return "", fault.Permanent("%s: is the administrator's, and stays", print)
		default:
			found = true
			continue
		}
		left = append(left, l)
	}
	if !found {
		return "", fault.Permanent("%q: there is no key of this fingerprint (keys list shows them)", plainComment(print))
	}
	if keys == 0 {
		return "", fault.Permanent("%s: is the last key, and nobody could log in without it (add another one first)", print)
	}
	*all = left
	return print + " removed", nil
}

// plainComment is short, and a word or some of plain letters.
func plainComment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune("\"'`\\#", r) {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	return strings.TrimSpace(s[:min(len(s), maxComment)])
}

// readKeys reads a machine's authorized_keys; none is empty. Only what is root's
// alone is read: the account's would be the account's to change.
func readKeys(machine *handle.Dir) (authorized, error) {
	dir, err := machine.Dir(sshDir)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	defer dir.Close()
	if err := dir.RootsAlone(); err != nil {
		return nil, err
	}
	f, err := dir.Open(keyFile)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Regular(); err != nil {
		return nil, err
	}
	if err := f.RootsAlone(); err != nil {
		return nil, err
	}
	text, err := f.Read(maxKeyFile + 1)
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fault.Permanent("%s: is over %d bytes", f.Path, maxKeyFile)
	}
	return parseAuthorized(string(text)), nil
}

// write replaces the file.
func (all authorized) write(machine *handle.Dir) error {
	var text strings.Builder
	for _, l := range all {
		text.WriteString(l.text + "\n")
	}
	if text.Len() > maxKeyFile {
		return fault.Permanent("with this key %s would be over %d bytes", keyFile, maxKeyFile)
	}
	if err := unix.Mkdirat(machine.Fd(), sshDir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: machine.Join(sshDir), Err: err}
	}
	dir, err := machine.Dir(sshDir)
	if err != nil {
		return fault.Permanent("%w", err)
	}
	defer dir.Close()
	if err := dir.RootsAlone(); err != nil {
		return err
	}
	return dir.Replace(newFile, keyFile, text.String())
}
