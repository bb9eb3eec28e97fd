# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never executed.

# shellcheck disable=SC2034 # read by the scripts that source this file
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034
WEB=$ROOT/examples/reference-server/web

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Whether an installed Node.js is new enough for the web UI's build.
node_is_usable() {
  have node && have npm &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number);
             process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

# The bin folder of the newest PostgreSQL of at least version 15.
postgres_bin() {
  local candidate version best="" best_version=14
  for candidate in /usr/lib/postgresql/*/bin /usr/local/opt/postgresql*/bin \
    /opt/homebrew/opt/postgresql*/bin "$(dirname "$(command -v initdb || echo /none/x)")"; do
    if [ ! -x "$candidate/initdb" ] || [ ! -x "$candidate/pg_ctl" ]; then continue; fi
    version=$("$candidate/initdb" --version | grep -oE '[0-9]+' | head -n 1)
    if [ "$version" -gt "$best_version" ]; then
      best=$candidate
      best_version=$version
    fi
  done
  [ -n "$best" ] && printf '%s\n' "$best"
}

# The NATS server, which Debian keeps where only root looks.
nats_bin() {
  local candidate
  for candidate in "$(command -v nats-server || true)" /usr/sbin/nats-server; do
    if [ -x "$candidate" ]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

chromium_bin() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if have "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Installs Debian packages where that is possible; otherwise says which are missing.
install_packages() {
  local how=()
  have apt-get || die "missing: $*; install them with this system's package manager and repeat"
  if [ "$(id -u)" -ne 0 ]; then
    if have sudo && sudo -n true 2>/dev/null; then
      how=(sudo)
    else
      die "missing: $*; install them (sudo apt-get install $*) and repeat"
    fi
  fi
  say "installing: $*"
  # A fresh PostgreSQL package would create and start a server of its own.
  if [[ " $* " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common ]; then
    "${how[@]}" mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' |
      "${how[@]}" tee /etc/postgresql-common/createcluster.d/auterity.conf >/dev/null
  fi
  "${how[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
  "${how[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "$@" >&2 ||
    die "could not install: $*; install them by hand and repeat"
}

# Installs those of the named services' programs that are missing.
install_services() {
  local missing=()
  postgres_bin >/dev/null || missing+=(postgresql)
  have redis-server || missing+=(redis-server)
  nats_bin >/dev/null || missing+=(nats-server)
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
  postgres_bin >/dev/null || die "PostgreSQL 15 or newer is needed, and only an older one is installed"
}
