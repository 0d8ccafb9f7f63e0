#!/bin/sh
@MARK@
# Writes this push into a spool folder, so that no push is lost while the server is away, and then tells the server.
# It never fails a push.
dir=$(git rev-parse --git-dir) || exit 0
here=$(dirname "$0")
spool=$dir/signalbox/spool
name=$(date +%s).$$
mkdir -p "$spool" 2>/dev/null
if cat >"$spool/$name.tmp"; then
	if [ -x "$here/@KEPT@" ]; then
		"$here/@KEPT@" <"$spool/$name.tmp"
	fi
	sync "$spool/$name.tmp" 2>/dev/null || sync
	mv "$spool/$name.tmp" "$spool/$name.push"
	echo "signalbox: heard of this push"
else
	echo "signalbox: could not write to $spool; the server will notice this push at its next look"
fi
(@COMMAND@ >/dev/null 2>&1 </dev/null &)
exit 0
