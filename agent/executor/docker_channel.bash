# The agent's side of the two FIFOs in the folder $1: what arrives here up to a NUL byte goes to the input of the job's
# bash, and its results go out, one line each. Now and then it also says whether a program that reads from the
# terminal would wait, which only a process in the container can see.
trap '' HUP INT TERM
LC_ALL=C
exec 3<>"$1/input" 4<>"$1/result"
{
  tty= line=
  while :; do
    if read -r -t 0.2 part <&4; then
      line+=$part
      case $line in
        'tty '*) tty=${line#tty } ;;
        'pid '*) printf '%s\n' "$line" ;;
        *) printf 'result %s\n' "$line" ;;
      esac
      line=
      continue
    fi
    line+=$part # the time may be over in the middle of a line
    if [ -n "$tty" ] && ! read -r -t 0 <"$tty" 2>/dev/null; then
      printf 'empty\n' || exit
    fi
  done
} &
while IFS= read -r -d '' text; do printf %s "$text" >&3; done
kill -KILL $!
