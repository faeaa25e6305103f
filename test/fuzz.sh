#!/bin/sh
# Runs every fuzz target for TIME, one after the other: go test takes one at a
# time. What fails one is kept in testdata/fuzz beside it, and is a test from then on.
set -eu
cd "$(dirname "$0")/.."
for package in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz'); do
		echo "$package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package"
	done
done
