package estate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/ssh"

	"uml/fault"
	"uml/job"
)

// A HostKey is one that sshd of the new guest shows.
type HostKey struct {
	Kind        string `json:"kind"`
	Fingerprint string `json:"fingerprint"`
	Public      string `json:"public"`
}

// secrets are what only this guest has.
type secrets struct {
	fresh    job.Fresh
	keys     []HostKey // of fresh.HostKeys
	password string    // as it is to be typed; "": nobody is told
	root     job.Root
}

// makeSecrets takes as long as the prime numbers of an RSA key do, some 0.2 s: it is done while
// something else is.
func (d *draft) makeSecrets() (*secrets, error) {
	s := &secrets{}
	id := make([]byte, 16)
	rand.Read(id)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // as systemd makes them, a UUID of version 4
	s.fresh.MachineID = hex.EncodeToString(id)
	var work sync.WaitGroup
	made := make([]job.HostKey, 3)
	shown := make([]HostKey, 3)
	errs := make([]error, 3)
	for i, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		work.Go(func() { made[i], shown[i], errs[i] = hostKey(kind, "root@"+d.Name) })
	}
	s.root = job.Root{Keys: d.Keys, Day: int(time.Now().Unix() / (24 * 60 * 60))}
	err := s.setPassword(d.Password, len(d.Keys) > 0)
	work.Wait()
	s.fresh.HostKeys, s.keys = made, shown
	return s, errors.Join(append(errs, err)...)
}

// setPassword: without one and with a key, root has none. That is "*", not "!": sshd takes an
// account whose hash begins with that for locked, and lets it in by no key either, where it goes
// without PAM.
func (s *secrets) setPassword(given *string, keys bool) (err error) {
	switch {
	case given != nil:
		s.root.Password, err = hash(*given)
	case keys:
		s.root.Password = "*"
	default:
		s.password = random()
		s.root.Password, err = hash(s.password)
	}
	return err
}

// rounds make a guess cost 20 ms of a processor of 2026, and a log-in as much.
const rounds = 50000

// hash is crypt(3)'s $6$, SHA-512 of Drepper's: what glibc, musl, libxcrypt and busybox all know.
// yescrypt, newer systems' own, musl and busybox do not.
func hash(password string) (string, error) {
	h, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithRounds(rounds))
	if err != nil {
		return "", err
	}
	digest, err := h.Hash(password)
	if err != nil {
		return "", err
	}
	return digest.Encode(), nil
}

// letters are those that nobody takes for another, 32 of them.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

// random is a password of 80 bits.
func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// CheckPassword takes what can be typed at a log-in prompt, and stored.
func CheckPassword(p string) error {
	if p == "" || len(p) > 200 {
		return fault.Permanent("the password has %d bytes: 1 to 200 can be typed", len(p))
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fault.Permanent("the password has a control character in it, which cannot be typed")
	}
	return nil
}

func hostKey(kind, comment string) (job.HostKey, HostKey, error) {
	var private crypto.Signer
	var err error
	switch kind {
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return job.HostKey{}, HostKey{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return job.HostKey{}, HostKey{}, err
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return job.HostKey{}, HostKey{}, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	return job.HostKey{Kind: kind, Private: string(pem.EncodeToMemory(block)), Public: line + " " + comment},
		HostKey{Kind: kind, Fingerprint: ssh.FingerprintSHA256(public), Public: line}, nil
}

// ParseKeys reads public keys, lines of authorized_keys (sshd(8)).
func ParseKeys(text []byte) (keys []string, err error) {
	if strings.Contains(string(text), "PRIVATE KEY-----") {
		return nil, fault.Permanent("is a private key, which nobody is to have (the public one is beside it, .pub)")
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil || len(rest) > 0 {
			return nil, fault.Permanent("line %d is no public key: %w", n, errors.Join(err))
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fault.Permanent("line %d has a control character in it", n)
		}
		keys = append(keys, line)
	}
	if len(keys) == 0 {
		return nil, fault.Permanent("has no key in it")
	}
	return keys, nil
}

func (k HostKey) String() string {
	return fmt.Sprintf("%s (%s)", k.Fingerprint, strings.ToUpper(k.Kind))
}
