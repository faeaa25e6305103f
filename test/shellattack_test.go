package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// An attempt is something that a customer, or who has his key, may try; refused says
// why it was, and is empty if it was not.
type attempt struct {
	what    string
	refused func() string
}

// Nobody gets more at the door than uml-shell gives him.
func TestShellAttacked(t *testing.T) {
	t.Parallel()
	// Some accounts take turns where it does not matter which: each has its rate.
	l, all := door(t, "bara", "olga", "a", "b", "c", "d", "e", "f", "g", "h")
	mine, hers := all[0], all[1]
	for _, m := range all[:2] {
		m.Activate()
		m.WaitUp(0)
	}
	k := &knocker{t, l}
	before := state(l)
	pid := hers.PID()

	n := 0
	for _, group := range [][]attempt{
		typed(l, all[2:]), copied(t, l), forwarded(t, l), surroundings(t, l), spoken(k, all[2:], hers), sieges(k, mine), replaced(k, l, mine),
	} {
		for _, a := range group {
			n++
			why := a.refused()
			if why == "" {
				t.Errorf("not refused: %s", a.what)
			}
			t.Logf("%3d  %-60s %s", n, a.what, why)
		}
		if answer, _ := k.says(hers.UID, `{"act":"status"}`); !strings.Contains(answer, `"state":"up"`) {
			t.Fatalf("after all of these olga is answered %q", answer)
		}
	}
	if n < 60 {
		t.Errorf("%d attempts only", n)
	}
	if hers.PID() != pid {
		t.Error("olga's guest was ended")
	}
	same(t, before, state(l))
	if log := l.ShelldLog(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine") {
		t.Errorf("the service's log:\n%s", log)
	}
}

// typed is what is refused by uml-shell: one line, and 100.
func typed(l *lab.Lab, accounts []*lab.Machine) (all []attempt) {
	long := strings.Repeat("A", 100<<10)
	for i, c := range []string{
		"sh", "bash -i", "/bin/sh", "../../bin/sh", "exec sh", "su root", "env", "printenv PATH", "!sh", ":!sh",
		"status; id", "status & id", "status && id", "status | sh", "status || id", "status `id`", "status $(id)", "status\nid", "status\rid",
		"$SHELL", "status ${HOME}", "~root", "status *", "status > /tmp/x", "status < /etc/passwd", "status # x", `status \x`, `"status"`, "'status'",
		"LD_PRELOAD=/tmp/x status", "status LD_PRELOAD=x", "STATUS", "stat", "statusx", "status\x01", "status\x1b[A", "statüs", "uml-shell -c sh", "uml-shell status",
		"status olga", "stop olga", "start ../olga", "console olga", "console con16", "console -1", "console 99999999999999999999", "console con1/../con2", "console /dev/tty",
		"kill 1", "kill -9 -1", "log -n -1", "log -n 99999999999999999999", "log /etc/shadow", "log -f /etc/shadow", "sysrq t", "sysrq haltnot", "sysrq b;id", "boot init=/bin/sh",
		"help ../../etc/passwd", "keys add ssh-ed25519 AAAA", `keys add command="sh" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB x`, "keys remove *",
		"scp -t /tmp", "scp -f /etc/passwd", "rsync --server -logDtpre.iLsfxC . /tmp", "git-upload-pack /x", "git-receive-pack /x", "sftp-server", "internal-sftp", "/usr/lib/openssh/sftp-server", "mosh-server new", "tmux attach", "status" + long, long,
	} {
		shown := fmt.Sprintf("%.50q", c)
		all = append(all, attempt{shown, func() string {
			return line(inTurn(l, append(l.SSH(accounts[i%len(accounts)].Name), c)...), "uml-shell: fatal: ", 100)
		}})
	}
	return all
}

// inTurn runs a command until the account is not too fast.
func inTurn(l *lab.Lab, args ...string) (r lab.Result) {
	l.Wait("the account's turn", func() bool {
		r = l.Run(args...)
		return !strings.Contains(r.Err, "too many requests")
	})
	return r
}

// line is what was said, if it was one line, and nothing else.
func line(r lab.Result, prefix string, code int) string {
	if r.Code != code || r.Out != "" || !strings.HasPrefix(r.Err, prefix) || strings.Count(r.Err, "\n") != 1 {
		fmt.Printf("exit %d, want %d: %q, %q\n", r.Code, code, r.Out, r.Err)
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(r.Err, prefix))
}

// files cannot be moved either way, by whichever program.
func copied(t *testing.T, l *lab.Lab) []attempt {
	stolen := filepath.Join(l.Dir, "stolen")
	options := strings.Join(l.SSH("bara")[5:len(l.SSH("bara"))-1], " ") // of ssh
	there := "bara@" + lab.HostIP4
	tried := func(script string) attempt {
		return attempt{script, func() string {
			r := inTurn(l, "ip", "netns", "exec", "other", "sh", "-c", strings.NewReplacer("OPTIONS", options, "THERE", there, "STOLEN", stolen, "MINE", l.Machines+"/bara").Replace(script))
			if _, err := os.Lstat(stolen); err == nil || r.Code == 0 {
				fmt.Printf("exit %d: %q, %q\n", r.Code, r.Out, r.Err)
				return ""
			}
			return firstLine(r.Err)
		}}
	}
	return []attempt{
		tried("scp OPTIONS THERE:/etc/passwd STOLEN"),
		tried("scp -O OPTIONS THERE:/etc/passwd STOLEN"),
		tried("scp OPTIONS /etc/hostname THERE:MINE/settings/mem"),
		tried("scp -O OPTIONS /etc/hostname THERE:/tmp/x"),
		tried("echo get /etc/passwd STOLEN | sftp OPTIONS -b - THERE"),
		tried("ssh OPTIONS -s THERE sftp </dev/null"),
		tried("ssh OPTIONS -s THERE nosuch </dev/null"),
		tried("echo cat /etc/passwd | ssh OPTIONS -T THERE"),
		tried("printf 'status\\n/bin/sh\\n' | ssh OPTIONS -T THERE"),
	}
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if first == "" {
		return "without a word"
	}
	return first
}

// forwardings are refused by sshd, as the example has it.
func forwarded(t *testing.T, l *lab.Lab) []attempt {
	l.Must("sh", "-c", "while :; do echo secret; sleep 1; done | socat -u - TCP-LISTEN:7777,bind=127.0.0.1,fork,reuseaddr >/dev/null 2>&1 &")
	reached := func(option, try string) attempt {
		return attempt{"ssh " + option, func() string {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			args := l.SSH("bara", append([]string{"-o", "ExitOnForwardFailure=yes"}, strings.Fields(option)...)...)
			cmd := l.Cmd(ctx, l.Dir, append(args, "console")...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			time.Sleep(time.Second) // of the account's rate
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { cmd.Wait(); close(ended) }()
			select {
			case <-ended:
				return fmt.Sprintf("ssh ends with %d", cmd.ProcessState.ExitCode())
			case <-time.After(2 * time.Second):
			}
			r := l.Run("sh", "-c", try)
			if strings.Contains(r.Out, "secret") || r.Code == 0 {
				return ""
			}
			return "nothing came through"
		}}
	}
	other := "ip netns exec other "
	return []attempt{
		reached("-L 7001:127.0.0.1:7777", other+"timeout 3 socat -u TCP:127.0.0.1:7001 - | grep secret"),
		reached("-D 7002", other+"timeout 3 socat -u SOCKS4A:127.0.0.1:127.0.0.1:7777,socksport=7002 - | grep secret"),
		reached("-L "+l.Dir+"/forwarded:/run/uml-shelld/socket", "false"),
		reached("-R 7003:127.0.0.1:22", "timeout 3 socat -u TCP:127.0.0.1:7003 - | grep SSH"),
		reached("-R "+l.Dir+"/remote:127.0.0.1:22", "test -e "+l.Dir+"/remote"),
		reached("-w 5:5", "ip link show tun5"),
		{"ssh -W 127.0.0.1:7777", func() string {
			r := l.Run(l.SSH("bara", "-W", "127.0.0.1:7777")...)
			if r.Code == 0 || r.Out != "" {
				return ""
			}
			return firstLine(r.Err)
		}},
	}
}

// surroundings: what the client sends along changes nothing.
func surroundings(t *testing.T, l *lab.Lab) (all []attempt) {
	addresses := func(options ...string) lab.Result {
		return inTurn(l, append(l.SSH("bara", options...), "addresses")...)
	}
	plain := addresses()
	if plain.Code != 0 {
		t.Fatalf("addresses: %+v", plain)
	}
	for _, set := range []string{
		"SSH_ORIGINAL_COMMAND=stop", "UML_MACHINES=/tmp", "UML_SERVICE=/tmp", "PATH=/tmp", "LD_PRELOAD=/tmp/x.so", "GODEBUG=http2debug=2", "HOME=/root", "SHELL=/bin/sh", "USER=root", "LC_ALL=../../../tmp/x", "TERM=../../../tmp/x",
	} {
		all = append(all, attempt{"SetEnv " + set, func() string {
			r := addresses("-o", "SetEnv "+set)
			if r != plain {
				fmt.Printf("%+v, not %+v\n", r, plain)
				return ""
			}
			return "the same as without"
		}})
	}
	return append(all,
		attempt{"another's name, with his key", func() string {
			r := l.Run("sh", "-c", `ssh-keygen -q -t ed25519 -N "" -f "$0/stranger"`, l.Dir)
			if r.Code != 0 {
				t.Fatal(r.Err)
			}
			args := strings.Split(strings.ReplaceAll(strings.Join(l.SSH("olga"), "\n"), l.Key(), l.Dir+"/stranger"), "\n")
			if r := l.Run(append(args, "status")...); r.Code != 255 || r.Out != "" {
				return ""
			}
			return "sshd lets him not in"
		}},
	)
}

// spoken is what is said to the service itself.
func spoken(k *knocker, accounts []*lab.Machine, hers *lab.Machine) (all []attempt) {
	refused := func(what string, uid int, text string, fds ...int) attempt {
		return attempt{what, func() string {
			answer, got := k.says(uid, text, fds...)
			if !strings.Contains(answer, `"fault"`) || got > 0 {
				fmt.Printf("answered %q, %d descriptors\n", answer, got)
				return ""
			}
			return answer
		}}
	}
	for i, text := range []string{
		`x`, `{}`, `null`, `[]`, `"status"`, `{"act":""}`, `{"act":"reboot"}`, `{"act":["stop"]}`, `{"act":"stop"`, `{"act":"stop"}{"act":"stop"}`, `{"act":"status"}` + "\x00", strings.Repeat("[", 10000),
		`{"act":"stop","machine":"olga"}`, `{"act":"stop","name":"olga"}`, `{"act":"stop","dir":"/machines/olga"}`, `{"act":"stop","channel":"../olga"}`,
		`{"act":"console","channel":"con1/../../olga"}`, `{"act":"console","channel":"con1\u0000"}`, `{"act":"console","channel":"con1\n"}`, `{"act":"console","channel":".."}`, `{"act":"console","channel":"con0"}`,
		`{"act":"sysrq","key":"t"}`, `{"act":"sysrq","key":"b"}x`, `{"act":"sysrq","key":"hh"}`, `{"act":"sysrq"}`, `{"act":"sysrq","key":"\u0000"}`,
		`{"act":"log","lines":-1}`, `{"act":"log","lines":1e99}`, `{"act":"log","lines":99999999}`, `{"act":"status","from":"x; rm"}`, `{"act":"status","from":"::1%\n"}`,
		`{"act":"add-key","line":"x"}`, `{"act":"add-key","line":"ssh-ed25519 AAAA\nssh-ed25519 AAAA"}`, `{"act":"add-key","line":"command=\"sh\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"}`, `{"act":"drop-key","line":"*"}`,
	} {
		all = append(all, refused(fmt.Sprintf("packet %.50q", text), accounts[i%len(accounts)].UID, text))
	}
	devnull, err := os.Open("/dev/null")
	if err != nil {
		k.t.Fatal(err)
	}
	many := make([]int, 100)
	for i := range many {
		many[i] = int(devnull.Fd())
	}
	return append(all,
		refused("packet of an account without a machine", hers.UID+50, `{"act":"status"}`),
		refused("packet of root", 0, `{"act":"status"}`),
		attempt{"packet of 1 MB", func() string { return soon(k.says(accounts[0].UID, strings.Repeat("x", 1<<20))) }},
		attempt{"packet of no bytes", func() string { return soon(k.says(accounts[0].UID, "")) }},
		attempt{"packet with 100 descriptors", func() string { return soon(k.says(accounts[0].UID, `{"act":"cad","key":"x"}`, many...)) }},
	)
}

// soon is an answer that came, of whatever kind, and gave nothing.
func soon(answer string, fds int) string {
	if strings.Contains(answer, "HANGS") || fds > 0 {
		return ""
	}
	return "answered " + fmt.Sprintf("%.80q", answer)
}

// sieges keep nobody out: TestShelldSiege says how others fare.
func sieges(k *knocker, mine *lab.Machine) []attempt {
	return []attempt{
		{"100 orders at once", func() string {
			refusals := 0
			for range 100 {
				sock := k.l.Ask(mine.UID)
				unix.Send(sock, []byte(`{"act":"start"}`), unix.MSG_NOSIGNAL)
				if answer, _ := whole(sock, 20*time.Second); strings.Contains(answer, "too many") {
					refusals++
				}
				unix.Close(sock)
			}
			if refusals == 0 {
				return ""
			}
			return fmt.Sprintf("%d of them: too many", refusals)
		}},
		{"the process that asked is another by now", func() string {
			sock := k.l.Ask(mine.UID) // by a thread that has ended
			defer unix.Close(sock)
			time.Sleep(time.Second)
			unix.Send(sock, []byte(`{"act":"status"}`), unix.MSG_NOSIGNAL)
			answer, _ := whole(sock, 20*time.Second)
			if strings.Contains(answer, "olga") {
				return ""
			}
			return "it is the account that counts"
		}},
	}
}

// replaced: a machine whose parts are others than they were.
func replaced(k *knocker, l *lab.Lab, mine *lab.Machine) []attempt {
	moved := func(what, script, undo, packet, secret string) attempt {
		return attempt{what, func() string {
			l.Must("sh", "-ec", "cd "+l.Machines+"; "+script)
			defer l.Must("sh", "-ec", "cd "+l.Machines+"; "+undo)
			answer, fds := k.says(mine.UID, packet)
			if secret != "" && strings.Contains(answer, secret) || strings.Contains(answer, "HANGS") {
				fmt.Printf("%q, %d descriptors\n", answer, fds)
				return ""
			}
			return fmt.Sprintf("%.90q", answer)
		}}
	}
	return []attempt{
		moved("its directory is a link to another's", "mv bara bara.away; ln -s olga bara", "rm bara; mv bara.away bara", `{"act":"status"}`, `"state"`),
		moved("its directory is gone", "mv bara bara.away", "mv bara.away bara", `{"act":"status"}`, `"state"`),
		moved("its user is another's", "echo olga >bara/settings/user", "rm bara/settings/user", `{"act":"status"}`, `"state"`),
		moved("uml/ is a link to another's", "mv bara/jail/uml bara/jail/uml.away; ln -s ../../olga/jail/uml bara/jail/uml", "rm bara/jail/uml; mv bara/jail/uml.away bara/jail/uml", `{"act":"sysrq","key":"h"}`, "olga"),
		moved("its log is a link to /etc", "mkdir bara/log; ln -s /etc bara/log/main; ln -s /etc/shadow bara/log/current", "rm -r bara/log", `{"act":"log","lines":10}`, "root:"),
		moved("its keys are a link to another's", "mv bara/.ssh bara/.ssh.away; ln -s ../olga/.ssh bara/.ssh", "rm bara/.ssh; mv bara/.ssh.away bara/.ssh", `{"act":"drop-key","line":"SHA256:x"}`, `"text"`),
	}
}
