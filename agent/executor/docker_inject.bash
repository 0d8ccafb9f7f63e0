# Writes its input to the file $1 with the mode $2. Exit codes: 11 no folder, 12 not written, 13 no mode.
folder=${1%/*}
if [ ! -d "${folder:-/}" ]; then (umask 027; mkdir -p -- "$folder") || exit 11; fi
if [ -d "$1" ]; then echo "it is a folder" >&2; exit 11; fi
umask 077
cat >|"$1" || exit 12
chmod -- "$2" "$1" || exit 13
