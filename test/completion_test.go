package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uml/test/lab"
)

// What is offered is what the program takes and what machines there are, in bash and
// in zsh as they are, with the files where make install puts them.
func TestCompletion(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	share := filepath.Join(l.Dir, "share")
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	l.Must("make", "-s", "-C", source, "install-completion", "DESTDIR="+l.Dir, "PREFIX=")
	other := filepath.Join(l.Dir, "others")
	for _, dir := range []string{l.Machines + "/web1", l.Machines + "/web2", l.Machines + "/mail", l.Machines + "/$(touch x)", other + "/web9"} {
		if err := os.MkdirAll(dir+"/settings", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.Must("sh", "-ec", "mkdir -p $0/debian $0/self; echo >$0/debian/manifest.json; echo >$0/self/manifest.json; ln -s self $0/default", filepath.Join(l.Dir, "kernels"))
	const inBoth = 5
	for i, c := range []struct{ line, want string }{
		{"uml-ctl lis", "list"},
		{"uml-ctl attach web1 n", "net"},
		{"uml-ctl --machines " + other + " list web", "web9"},
		{"uml-kernel roll ", "debian self"},
		{"uml-net show web", "web1 web2"}, // no further in zsh, which takes a second each
		{"uml-ctl list mail web", "web1 web2"},
		{"uml-ctl --timeout 5s proc ", "mail web1 web2"},
		{"uml-ctl list --js", "--json"},
		{"uml-ctl list --mach", "--machines"},
		{"uml-check ma", "mail"},
		{"uml-net sho", "show"},
		{"uml-disk cow mer", "merge"},
		{"uml-disk list ma", "mail"},
		{"uml-kernel try debian ma", "mail"},
		{"uml-kernel remove debian ", ""},
		{"uml-kernel add " + l.Dir + "/oth", other},
		{"uml-template upd", "update"},
		{"uml-template build x " + l.Dir + "/oth", other},
		{"uml-machine ren", "rename"},
		{"uml-machine remove ma", "mail"},
		{"uml-disk cow merge " + l.Dir + "/oth", other},
		{"uml-run --log-format j", "json"},
		{"uml-run --log-format json ma", "mail"},
		{"uml-balance ", ""},
		{"uml-balance --dr", "--dry-run"},
		{"uml-ctl list none", ""},
		{"uml-ctl log web", "web1 web2"},
		{"uml-ctl memory web1 ", ""},
		{"uml-ctl --timeout 5s config web1 con", "con0 con1"},
		{"uml-ctl console web1 --log " + l.Dir + "/oth", other},
	} {
		if got := inBash(l, share, c.line); got != c.want {
			t.Errorf("bash: %s: got %q, want %q", c.line, got, c.want)
		}
		if i >= inBoth {
			continue
		}
		if got := inZsh(l, share, c.line); got != c.want {
			t.Errorf("zsh: %s: got %q, want %q", c.line, got, c.want)
		}
	}
}

// inBash has bash-completion find the file by the command's name.
func inBash(l *lab.Lab, share, line string) string {
	return sorted(l.Must("env", "XDG_DATA_DIRS="+share, "bash", "--norc", "-c", `
		. /usr/share/bash-completion/bash_completion
		COMP_LINE=$0 COMP_POINT=${#0}; read -ra COMP_WORDS <<<"$0"
		[[ $0 == *' ' ]] && COMP_WORDS+=('')
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_completion_loader "${COMP_WORDS[0]}"
		set -- $(complete -p "${COMP_WORDS[0]}")
		[[ $2 == -F ]] && "$3" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
		printf '%s\n' "${COMPREPLY[@]}"`, line))
}

// inZsh asks an interactive one on a terminal, which lists what is possible.
func inZsh(l *lab.Lab, share, line string) string {
	return sorted(l.Must("zsh", "-f", "-c", `
		zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z "PS1=; fpath=($1/zsh/site-functions \$fpath); autoload -Uz compinit; compinit -D -u; bindkey '^I' list; list() {}"
		zpty -w z 'compadd() { local -a r; builtin compadd -O r "$@"; for w in $r; do print -r -- "<offer>$w"; done }; report() { _main_complete; print "<end>"; }; zle -C list list-choices report; bindkey "^I" list; print "<re""ady>"'
		while zpty -r z l; do [[ $l == *'<ready>'* ]] && break; done
		zpty -n -w z "$2"$'\t'
		while zpty -r z l; do [[ $l == *'<end>'* ]] && break; print -r -- $l; done | sed -n 's/.*<offer>\([^\r]*\).*/\1/p'
		zpty -d z`, "zsh", share, line))
}

func sorted(text string) string {
	words := strings.Fields(text)
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}
