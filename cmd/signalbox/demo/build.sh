#!/bin/sh
# Puts the program together from its parts and checks that awk accepts it.
set -eu
cd "$(dirname "$0")"
mkdir -p bin
{
	echo '#!/bin/sh'
	echo "exec awk '"
	cat src/count.awk src/print.awk
	echo "' \"\$@\""
} > bin/wordfreq
chmod +x bin/wordfreq
bin/wordfreq < /dev/null
echo "built bin/wordfreq, $(wc -l < bin/wordfreq | tr -d ' ') lines"
