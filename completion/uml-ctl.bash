# Completion of bash for uml-ctl and the other programs of its suite. Commands and
# flags are what the program's own --help says, machines what is in the machines root.

_uml() {
	local program=$1 cur=$2 prev=$3 machines=${UML_MACHINES:-/machines} kernels=${UML_KERNELS:-/var/lib/uml/kernels} command='' name='' words='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--machines)
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((++i < COMP_CWORD)) && machines=${COMP_WORDS[i]} ;;
		--kernels)
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((++i < COMP_CWORD)) && kernels=${COMP_WORDS[i]} ;;
		--log-format)
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((i++)) ;;
		--modules | --service | --timeout | --host-settings | --dir | --log | --lines | -n | --delay | -d | --count | --escape | --linger | --size | --include | --mirror | --template | --disc | --mem | --swap | --ip4 | --ip6 | --net | --gateway | --dns | --set | --account | --password-fd | --young)
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((i++)) ;;
		-* | =) ;;
		*) [[ ! $command ]] || name=${name:-${COMP_WORDS[i]}}
			command=${command:-${COMP_WORDS[i]}} ;;
		esac
	done
	[[ $cur == = ]] && cur=
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}
	case $prev in
	--machines | --kernels | --modules | --service | --host-settings | --dir | --templates)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	--log | --into | --backing | --key | --kernel)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	--log-format)
		mapfile -t COMPREPLY < <(compgen -W "text json" -- "$cur")
		return ;;
	--timeout | --lines | -n | --delay | -d | --count | --escape | --linger | --size | --include | --mirror | --template | --disc | --mem | --swap | --ip4 | --ip6 | --net | --gateway | --dns | --set | --account | --password-fd | --young) return ;;
	esac
	local commands
	commands=$("$program" --help 2>/dev/null | sed -n '/^COMMANDS:/,/^$/s/^   \([a-z-]*\).*/\1/p')
	[[ $commands ]] || command=
	if [[ $cur == -* ]]; then
		words=$({ "$program" --help; [[ ! $command ]] || "$program" "$command" --help; } 2>/dev/null | sed -n 's/^   \(--[a-z-]*\).*/\1/p')
	elif [[ $commands && ! $command ]]; then
		words=$commands
	elif [[ ${program##*/} == uml-balance ]]; then
		return
	elif [[ ${program##*/} == uml-disk && $command == cow && ! $name ]]; then
		words=$("$program" cow --help 2>/dev/null | sed -n '/^COMMANDS:/,/^$/s/^   \([a-z-]*\).*/\1/p')
	elif [[ ${program##*/} == uml-kernel && $command == @(default|try|roll|remove) && ! $name ]]; then
		for i in "$kernels"/*/manifest.json; do
			i=${i%/*} i=${i##*/}
			[[ $i == *[!A-Za-z0-9._-]* || $i == default ]] || words+=" $i"
		done
	elif [[ ${program##*/} == uml-kernel && $command == @(list|default|remove) ]]; then
		return
	elif [[ ${program##*/} == uml-disk && $command != list || ${program##*/} == uml-kernel && $command == add ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ ${program##*/} == uml-template && $command == build ]]; then
		[[ ! $name ]] || {
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		}
		return
	elif [[ ${program##*/} == uml-template ]]; then
		[[ $command == @(list|gc) ]] || words=$("$program" list 2>/dev/null | sed '1d;s/ .*//;h;s/@.*//p;g')
	elif [[ $name && $command == @(console|config|attach|detach|sysrq|proc|stack|memory|log) ]]; then
		case $command in
		console) words='con0 con1 ssl0' ;;
		config) words='con0 con1 ssl0 ubd0' ;;
		attach | detach) words='net ubd0 ubd1 ubd2 ubd3 ubd4 ubd5 ubd6 ubd7' ;;
		sysrq) words='h s u b' ;;
		proc) words='loadavg meminfo mounts uptime' ;;
		esac
	else
		for i in "$machines"/*/settings; do
			i=${i%/settings} i=${i##*/}
			[[ $i == *[!A-Za-z0-9._-]* ]] || words+=" $i"
		done
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _uml uml-ctl uml-run uml-net uml-check uml-jail uml-shelld uml-disk uml-kernel uml-template uml-machine uml-metrics uml-balance
