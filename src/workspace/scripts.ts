/** The guest's side: POSIX shell with tar, and git where a checkout is compared with what it was. */
import { guestGit } from "./guest-git.js";
import { tellInstaller } from "./guest-packages.js";
import { marks, repositoryMark } from "./marks.js";

/** Exit statuses by which a script says why it refuses. */
export const refusal = {
  foreign: 65,
  changed: 66,
  noGit: 67,
  noCommits: 68,
  incomplete: 69,
  unfinished: 70,
  noTar: 71,
} as const;

/**
 * Runs $1 in the checkout and in each of its submodules, with the path below the checkout ("sub/") as its argument.
 * Its own failure is the script's.
 */
const everyCheckout = `
every_checkout() {
  "$1" "" || exit
  [ -f .git/${marks.modules} ] || return 0
  while IFS= read -r module <&3; do
    if [ -f "$module/.git/${marks.tree}" ]; then (cd "./$module" && "$1" "$module/") || exit
    else printf 'note module %s\n' "$module" >&2; fi
  done 3<.git/${marks.modules}
}
`;

/** Commits that the guest has and the host may not. Failing to tell is no "none". */
const newCommits = `
new_commits() {
  head=$(git rev-parse -q --verify HEAD || :)
  sed 's/^/^/' .git/${marks.tips} >"$mine/since" && git rev-list -n 1 --all $head --stdin <"$mine/since"
}
`;

const needGit = `command -v git >/dev/null || { ${tellInstaller}; exit ${refusal.noGit}; }`;
const needOurs = `cd "$1" 2>/dev/null && [ -f .git/${marks.tree} ] || exit ${refusal.foreign}`;

/**
 * $1 checkout, $2 where it is unpacked first. Refuses when something would be lost, or when nothing could be unpacked;
 * names the package manager of a guest without git.
 */
export const checkScript = `set -u
command -v tar >/dev/null || exit ${refusal.noTar}
command -v git >/dev/null || ${tellInstaller}
if [ -d "$2.git" ] && [ -d "$1" ] && [ ! -e "$1/.git" ]; then mv "$2.git" "$1/.git"; fi
rm -rf "$2" "$2.git"
if [ ! -e "$1" ] && [ ! -L "$1" ]; then exit 0; fi
if [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; then exit 0; fi
${needOurs}
[ ! -f .git/${marks.replacing} ] || exit 0
command -v git >/dev/null || exit ${refusal.noGit}
${guestGit}${everyCheckout}${newCommits}
unchanged() {
  added=$(new_commits) || exit
  [ -z "$added" ] || exit ${refusal.changed}
  below=$1
  now=$(take .git/${marks.index}) || exit
  [ "$now" = "$(cat .git/${marks.tree})" ] || exit ${refusal.changed}
}
own_place
every_checkout unchanged
`;

/** What was unpacked into $1 is of no use. */
export const discardScript = `rm -rf "$1"`;

/** An archive on stdin is unpacked into $1. */
export const unpackScript = `set -eu
umask 022
mkdir -p "$1"
exec tar -xopf - -C "$1"
`;

/**
 * $1 checkout, $2 where it was unpacked, $3 "readonly" or nothing. A checkout of ours is replaced file by
 * file, so that what was built in it stays.
 */
export const commitScript = `set -eu
umask 022
home=$HOME
mkdir -p "$1"
if [ -f "$1/.git/${marks.tree}" ]; then
  cd "$1"
  : >.git/${marks.replacing}
  ${guestGit}${everyCheckout}
  clear_out() {
    GIT_INDEX_FILE="$PWD/.git/${marks.index}" git ls-files -z | xargs -0 rm -f -- 2>/dev/null || :
    [ -z "$1" ] || rm -rf .git
  }
  own_place
  every_checkout clear_out
  find . -depth -type d ! -path './.git/*' -exec rmdir {} + 2>/dev/null || :
  mv "$2/.git" "$2.git"
  cp -alf "$2/." .
  rm -rf .git
  mv "$2.git" .git
  rm -rf "$2"
else
  rmdir "$1"
  mv "$2" "$1"
  cd "$1"
fi
if [ "$3" = readonly ]; then
  find . -name .git -prune -o ! -type l -exec chmod a-w {} +
fi
mark=$home/${repositoryMark}
mkdir -p "\${mark%/*}" && printf %s "$1" >"$mark.$$" && mv "$mark.$$" "$mark"
`;

const needWhole = `[ ! -f .git/${marks.replacing} ] || exit ${refusal.unfinished}`;

/**
 * $1 checkout. A patch from what was carried to what is there now, on stdout. When a prepare came in between, it is
 * not whole.
 */
export const patchScript = String.raw`set -u
${needOurs}
${needGit}
${needWhole}
${guestGit}${everyCheckout}
patch() {
  below=$1
  base=$(cat .git/${marks.tree})
  now=$(take .git/${marks.index}) && export GIT_OBJECT_DIRECTORY="$mine/objects" || exit
  git $settings diff-tree -r -p --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv \
    --unified=3 --inter-hunk-context=0 --diff-algorithm=myers --ignore-submodules=all \
    --src-prefix="a/$1" --dst-prefix="b/$1" "$base" "$now" || exit
  git $settings diff-tree -r --name-only --no-renames "$base" "$now" >"$mine/changed" || exit
  git check-attr --stdin filter <"$mine/changed" | sed -n -e '/: filter: unspecified$/d' \
    -e '/: filter: unset$/d' -e '/: filter: set$/d' -e "s/^/note filter /p" >&2
  [ "$base" = "$(cat .git/${marks.tree})" ] || exit ${refusal.unfinished}
}
own_place
every_checkout patch
${needWhole}
`;

/** $1 checkout. A bundle of the commits made there, on stdout; a word on stderr when there is more than commits. */
export const bundleScript = `set -u
${needOurs}
${needGit}
${needWhole}
${guestGit}
own_place
sed 's/^/^/' .git/${marks.tips} >"$mine/since"
[ -n "$(git rev-list -n 1 HEAD --stdin <"$mine/since" 2>/dev/null)" ] || exit ${refusal.noCommits}
branch=$(git symbolic-ref -q HEAD || :)
git bundle create -q - HEAD $branch --stdin <"$mine/since" || exit
[ -z "$(git $settings status --porcelain)" ] || exit ${refusal.incomplete}
`;
