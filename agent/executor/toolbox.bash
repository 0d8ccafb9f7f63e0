# The toolbox, when it is installed, or programs of the same name win over the functions below.
if ! builtin type retry >/dev/null 2>&1; then
  retry() {
    local times=3 pause=0 try status
    while [ $# -gt 0 ]; do
      case $1 in
        -t|--times) times=$2; shift 2 ;;
        --times=*) times=${1#*=}; shift ;;
        -s|--sleep) pause=$2; shift 2 ;;
        --sleep=*) pause=${1#*=}; shift ;;
        --) shift; break ;;
        *) break ;;
      esac
    done
    case $times$pause in
      ''|*[!0-9]*) builtin echo "retry: --times and --sleep want whole numbers, not '$times' and '$pause'" >&2; return 2 ;;
    esac
    if [ $# -eq 0 ]; then
      builtin echo "retry: no command given; usage: retry [--times N] [--sleep SECONDS] COMMAND..." >&2
      return 2
    fi
    # One argument is a line of shell, several are a command and its arguments, which keep their quoting; eval all the
    # same, so that NAME=value in front and aliases work.
    local line=$1
    if [ $# -gt 1 ]; then builtin printf -v line '%q ' "$@"; fi
    for ((try = 1; ; try++)); do
      builtin eval "$line" && return 0
      status=$?
      if [ "$try" -ge "$times" ]; then
        builtin echo "[$try/$times] Execution Failed with exit status $status. No more retries."
        return "$status"
      fi
      builtin echo "[$try/$times] Execution Failed with exit status $status. Retrying."
      sleep "$pause"
    done
  }
fi

if ! builtin type checksum >/dev/null 2>&1; then
  checksum() {
    if [ $# -ne 1 ] || [ ! -f "$1" ]; then
      builtin echo "checksum: '$1' is not a file; usage: checksum FILE" >&2
      return 1
    fi
    local sum
    if builtin type md5sum >/dev/null 2>&1; then
      sum=$(md5sum <"$1") || return
      builtin echo "${sum%% *}"
    else
      md5 -q "$1"
    fi
  }
fi

if ! builtin type checkout >/dev/null 2>&1; then
  checkout() {
    local name unset=
    for name in SEMAPHORE_GIT_BRANCH SEMAPHORE_GIT_URL SEMAPHORE_GIT_DIR SEMAPHORE_GIT_SHA; do
      [ -n "${!name:-}" ] || unset=1
    done
    if [ -n "$unset" ]; then
      builtin echo "[CHECKOUT ERROR] Some of these variables are unset:"
      for name in SEMAPHORE_GIT_BRANCH SEMAPHORE_GIT_URL SEMAPHORE_GIT_DIR SEMAPHORE_GIT_SHA; do
        builtin echo "$name=${!name:-}"
      done
      return 1
    fi
    # Git would take such a value for one of its options, and some of those run programs.
    for name in SEMAPHORE_GIT_BRANCH SEMAPHORE_GIT_URL SEMAPHORE_GIT_DIR SEMAPHORE_GIT_SHA SEMAPHORE_GIT_REF \
      SEMAPHORE_GIT_TAG_NAME SEMAPHORE_GIT_DEPTH; do
      case ${!name:-} in
        -*) builtin echo "[CHECKOUT ERROR] $name='${!name}' begins with '-', which git would read as an option."; return 1 ;;
      esac
    done
    case ${SEMAPHORE_GIT_DIR%/} in
      ''|.|..|*/..|../*|*/../*)
        builtin echo "[CHECKOUT ERROR] SEMAPHORE_GIT_DIR='$SEMAPHORE_GIT_DIR' is not a folder that may be replaced."; return 1 ;;
    esac
    case ${SEMAPHORE_GIT_DEPTH:=50} in
      *[!0-9]*|0) builtin echo "[CHECKOUT ERROR] SEMAPHORE_GIT_DEPTH='$SEMAPHORE_GIT_DEPTH' is not a number of commits."; return 1 ;;
    esac
    case ${SEMAPHORE_GIT_REF_TYPE:-branch} in
      pull-request) __sb_checkout_pull_request ;;
      tag) __sb_checkout_tag ;;
      *) __sb_checkout_branch ;;
    esac || return
    builtin echo "HEAD is now at $(git rev-parse HEAD)"
  }

  # Three tries, each with an empty folder: git leaves half a clone behind when the line breaks.
  __sb_clone() {
    local try
    for try in 1 2 3; do
      rm -rf -- "$SEMAPHORE_GIT_DIR"
      git clone "$@" -- "$SEMAPHORE_GIT_URL" "$SEMAPHORE_GIT_DIR" && return 0
      builtin echo "[$try/3] Cloning failed."
    done
    return 1
  }

  __sb_fetch() {
    local try
    for try in 1 2 3; do
      git fetch "$@" && return 0
      builtin echo "[$try/3] Fetching failed."
    done
    return 1
  }

  __sb_have() { git cat-file -e "$1^{commit}" 2>/dev/null; }

  # An empty repository with the remote set: the way to a commit whose branch cannot be cloned any more.
  __sb_empty() {
    rm -rf -- "$SEMAPHORE_GIT_DIR"
    git init -q -- "$SEMAPHORE_GIT_DIR" && builtin cd -- "$SEMAPHORE_GIT_DIR" &&
      git remote add origin "$SEMAPHORE_GIT_URL"
  }

  __sb_checkout_branch() {
    local sha=$SEMAPHORE_GIT_SHA
    if __sb_clone --depth "$SEMAPHORE_GIT_DEPTH" -b "$SEMAPHORE_GIT_BRANCH"; then
      builtin cd -- "$SEMAPHORE_GIT_DIR" || return
      if ! __sb_have "$sha"; then
        builtin echo "SHA: $sha is not among the last $SEMAPHORE_GIT_DEPTH commits of $SEMAPHORE_GIT_BRANCH, fetching it"
        __sb_fetch --depth "$SEMAPHORE_GIT_DEPTH" origin "$sha" || __sb_fetch --unshallow origin
      fi
    else
      builtin echo "Branch $SEMAPHORE_GIT_BRANCH cannot be cloned, fetching commit $sha"
      __sb_empty || return
      __sb_fetch --depth "$SEMAPHORE_GIT_DEPTH" origin "$sha" || __sb_fetch origin
      [ "$sha" != HEAD ] || sha=FETCH_HEAD
      if __sb_have "$sha"; then git checkout -q -B "$SEMAPHORE_GIT_BRANCH" "$sha" -- || return; fi
    fi
    if ! __sb_have "$sha"; then
      builtin echo "Revision: $SEMAPHORE_GIT_SHA not found .... Exiting"
      return 1
    fi
    git reset -q --hard "$sha"
  }

  __sb_checkout_pull_request() {
    __sb_empty || return
    if __sb_fetch --depth "$SEMAPHORE_GIT_DEPTH" origin "+$SEMAPHORE_GIT_REF:" ||
      __sb_fetch origin "+$SEMAPHORE_GIT_REF:"; then
      # The reference may have moved on since the workflow began; the commit that was asked for is the one that counts.
      if __sb_have "$SEMAPHORE_GIT_SHA"; then
        git checkout -qf "$SEMAPHORE_GIT_SHA" --
        return
      fi
    fi
    if __sb_fetch --depth "$SEMAPHORE_GIT_DEPTH" origin "$SEMAPHORE_GIT_SHA"; then
      git checkout -qf FETCH_HEAD --
      return
    fi
    builtin echo "Revision: $SEMAPHORE_GIT_SHA not found .... Exiting"
    return 1
  }

  __sb_checkout_tag() {
    if __sb_clone --depth "$SEMAPHORE_GIT_DEPTH" -b "$SEMAPHORE_GIT_TAG_NAME"; then
      builtin cd -- "$SEMAPHORE_GIT_DIR" && git checkout -qf "$SEMAPHORE_GIT_TAG_NAME" --
      return
    fi
    builtin echo "Release $SEMAPHORE_GIT_TAG_NAME not found .... Exiting"
    return 1
  }
fi

# Commands of the agent's own program; there is none in a container.
if [ -n "${__sb_program:-}" ]; then
  __sb_tool() {
    if [ -n "$__sb_ca" ]; then
      SIGNALBOX_CA_FILE=$__sb_ca "$__sb_program" "$@"
    else
      "$__sb_program" "$@"
    fi
  }
  builtin type artifact >/dev/null 2>&1 || artifact() { __sb_tool artifact "$@"; }
  builtin type spc >/dev/null 2>&1 || spc() { __sb_tool spc "$@"; }
  builtin type when >/dev/null 2>&1 || when() { __sb_tool when "$@"; }
fi
builtin true
