#!/bin/sh
# Runs the built program on known texts.
set -u
cd "$(dirname "$0")/.."
failed=0
check() {
	got=$(printf '%s' "$2" | bin/wordfreq)
	if [ "$got" = "$3" ]; then
		echo "ok    $1"
	else
		echo "FAIL  $1"
		echo "      want: $3"
		echo "      got:  $got"
		failed=1
	fi
}
check "empty text" "" ""
check "one word" "signal" "1 signal"
check "counts and order" "b a b" "2 b
1 a"
check "case and punctuation" "Box, box. BOX!" "3 box"
exit $failed
