# shellcheck shell=bash
# What the scripts beside this one share: programs that Python's packages do not bring. To be sourced.

have() { command -v "$1" >/dev/null 2>&1; }

# apt_install PACKAGE: by apt, where there is one and it may be used; silent when it works.
apt_install() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo && sudo -n true 2>/dev/null || return 1
    as_root=(sudo)
  fi
  have apt-get || return 1
  echo "installing $1" >&2
  "${as_root[@]}" apt-get update -qq >&2 &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$1" >&2
}

# need PROGRAM PACKAGE WHY: have the program, or say what to install.
need() {
  have "$1" || apt_install "$2" || {
    echo "$1 is missing ($3). Install it, on Debian with: apt-get install $2" >&2
    return 1
  }
}

need_node() {
  need node nodejs "the page's parts are tested in it" && need npm npm "it fetches the page's checkers"
}

# What checks the page: the type checker, the accessibility checker. Fetched again when the lock has changed.
need_page_checkers() {
  need_node || return 1
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error >&2
}

# Valkey, or the Redis it grew from: Debian 12 has the second only.
need_valkey() {
  have valkey-server || have redis-server || apt_install valkey-server 2>/dev/null ||
    need redis-server redis-server "conversations are handed from one replica to another through it"
}

# Prometheus' checker, in Debian part of its server, which is not to be started here.
need_promtool() {
  have promtool || RUNLEVEL=1 need promtool prometheus "the alert rules are tested with it"
}

need_chromium() {
  need chromium chromium "the page is tested in it"
}
