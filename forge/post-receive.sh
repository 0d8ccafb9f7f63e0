#!/bin/sh
@MARK@
# Writes this push into a spool folder, so that no push is lost while the server is away, and then tells the server.
# It never fails a push. A hook that was here before runs in any case.
updates=$(cat)
dir=$(git rev-parse --git-dir) || dir=.
spool=$dir/signalbox/spool
name=$(date +%s).$$
mkdir -p "$spool" 2>/dev/null
if (printf '%s\n' "$updates" >"$spool/$name.tmp") 2>/dev/null &&
	{ sync "$spool/$name.tmp" 2>/dev/null || sync; } &&
	mv "$spool/$name.tmp" "$spool/$name.push" 2>/dev/null; then
	sync "$spool" 2>/dev/null
	echo "signalbox: heard of this push"
else
	echo "signalbox: could not write to $spool; the server will notice this push at its next look"
fi
kept=$(dirname "$0")/@KEPT@
if [ -x "$kept" ]; then
	printf '%s\n' "$updates" | "$kept"
fi
(@COMMAND@ >/dev/null 2>&1 </dev/null &)
exit 0
