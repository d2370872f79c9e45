#!/bin/sh
# For maintainers of the catalog: makes a bundle of an image, puts an entry for it into images.json, and proves it.
#   maintain.sh make NAME FILE.tar.zst          from the image NAME, made here if need be; ZSTD_CLEVEL=19 makes it small
#   maintain.sh publish NAME FILE.tar.zst URL   once FILE is to be had at URL: the entry, by digest, which goes before the recipe
#   maintain.sh verify NAME                     fetches the entry into a home of its own, boots it and runs a command
set -eu
here=$(cd "$(dirname "$0")" && pwd)
banger=$here/../bin/banger

usage() { sed -n '3,5p' "$0" >&2; exit 2; }

make_bundle() {
  id=$("$banger" image pull -q "$1")
  directory=$("$banger" image show "$id" --json | node -p 'JSON.parse(require("fs").readFileSync(0)).directory')
  # Only an image that was given one has this file; the others have theirs made where they are unpacked.
  seed=work-seed.ext4
  [ -e "$directory/$seed" ] || seed=
  # shellcheck disable=SC2086
  tar -c --sparse --owner=0 --group=0 --numeric-owner --sort=name --mtime=@0 -C "$directory" \
    rootfs.ext4 vmlinux modules.cpio manifest.json $seed | zstd -q -T0 -f -o "$2"
  sha256sum "$2"
}

publish() {
  wanted=$(sha256sum "$2" | cut -d' ' -f1)
  found=$(curl -fsSL "$3" | sha256sum | cut -d' ' -f1)
  [ "$wanted" = "$found" ] || { echo "$3 does not serve $2" >&2; exit 1; }
  node - "$here/images.json" "$1" "$3" "$wanted" "$(stat -c %s "$2")" <<'EOF'
const { readFileSync, writeFileSync } = require("fs");
const [path, name, url, sha256, bytes] = process.argv.slice(2);
const catalog = JSON.parse(readFileSync(path, "utf8"));
const known = catalog.images.find((image) => image.name === name);
const entry = { name, summary: name, ...known, bundle: { url, sha256, bytes: Number(bytes) } };
catalog.images = known ? catalog.images.map((image) => (image === known ? entry : image)) : [...catalog.images, entry];
writeFileSync(path, `${JSON.stringify(catalog, null, 2)}\n`);
EOF
}

verify() {
  home=$(mktemp -d)
  export XDG_STATE_HOME="$home/state" XDG_DATA_HOME="$home/data" XDG_CACHE_HOME="$home/cache" XDG_CONFIG_HOME="$home/config"
  trap '"$banger" daemon stop; rm -rf "$home"' EXIT
  "$banger" vm run --rm --image "$1" -- uname -a
}

case ${1:-} in
  make) [ $# = 3 ] || usage; make_bundle "$2" "$3" ;;
  publish) [ $# = 4 ] || usage; publish "$2" "$3" "$4" ;;
  verify) [ $# = 2 ] || usage; verify "$2" ;;
  *) usage ;;
esac
