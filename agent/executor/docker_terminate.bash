# Ends the processes of a job in its container: $1 is the job's bash, $2 the grace period in seconds. bash is halted
# first, because it would go on with its next line when the program it waits for dies. The others get SIGTERM and time;
# then bash gets SIGHUP, so that it runs its EXIT trap. What is left is the caller's to kill, with the container.
shell=$1 grace=${2%.*} told=' '
exec 3<>/dev/null
SECONDS=0
pause() { read -r -t "$1" <> <(:) 2>/dev/null; }
# alive tells whether $1 is a process that has not ended.
alive() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  stat=${stat##*) }
  case ${stat%% *} in Z | X) return 1 ;; esac
}
ours() { # the agent's own processes in the container
  local word
  { IFS= read -r -d '' word; IFS= read -r -d '' word; IFS= read -r -d '' word; IFS= read -r -d '' word; } 2>/dev/null <"/proc/$1/cmdline"
  [ "$word" = signalbox ]
}
[ -z "$shell" ] || kill -STOP "$shell" 2>/dev/null
while :; do
  left=
  for p in /proc/[0-9]*; do
    p=${p#/proc/}
    if [ "$p" = 1 ] || [ "$p" = $$ ] || [ "$p" = "$shell" ] || [ "$p" = "$BASHPID" ] || ! alive "$p" || ours "$p"; then continue; fi
    left=yes
    case $told in *" $p "*) continue ;; esac
    told="$told$p "
    kill -TERM "$p" 2>/dev/null
    kill -CONT "$p" 2>/dev/null
  done
  if [ -z "$left" ] || [ "$SECONDS" -ge "$grace" ]; then break; fi
  pause 0.05
done
if [ -n "$shell" ]; then
  kill -HUP "$shell" 2>/dev/null
  kill -CONT "$shell" 2>/dev/null
  for ((i = 0; i < 20; i++)); do
    alive "$shell" || break
    pause 0.05
  done
fi
exit 0
