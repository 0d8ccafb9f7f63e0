# The agent's side of the two FIFOs in the folder $1: what arrives here up to a NUL byte goes to the input of the job's
# bash, and its results go out, one line each. Now and then it also says whether a program that reads from the
# terminal would wait, which only a process in the container can see. Nothing reads results with a time limit: bash may
# lose what it had read when the time is over.
trap '' HUP INT TERM
LC_ALL=C
exec 3<>"$1/input" 4<>"$1/result" 5<>"$1/never"
while read -r line <&4; do
  case $line in
    'tty '*) printf '%s\n' "${line#tty }" >"$1/tty" ;;
    'pid '*) printf '%s\n' "$line" ;;
    *) printf 'result %s\n' "$line" || exit ;;
  esac
done &
results=$!
{
  tty=
  while :; do
    read -r -t "${2:-0.2}" _ <&5 # nobody writes there
    if [ -n "$tty" ]; then
      read -r -t 0 <"$tty" 2>/dev/null || printf 'empty\n' || exit
    elif [ -e "$1/tty" ]; then
      read -r tty <"$1/tty"
    fi
  done
} &
while IFS= read -r -d '' text; do printf %s "$text" >&3; done
kill -KILL $! $results
