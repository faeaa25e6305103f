#!/bin/sh
# Runs govulncheck, which looks a tree up in Go's database of vulnerabilities. A
# host that cannot reach the database has learnt nothing, and that is no failure.
set -u
out=$("$@" 2>&1)
code=$?
echo "$out"
case $out in
*"fetching vulnerabilities"*)
	echo "the database cannot be reached from here: nothing was checked"
	exit 0
	;;
esac
exit $code
