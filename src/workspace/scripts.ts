/** The guest's side: POSIX shell with tar, and git where a checkout is compared with what it was. */
import { marks } from "./marks.js";

/** Exit statuses by which a script says why it refuses. */
export const refusal = { foreign: 65, changed: 66, noGit: 67, noCommits: 68, incomplete: 69 } as const;

/**
 * Runs $1 in the checkout and in each of its submodules, with the path below the checkout ("sub/") as its argument.
 * Its own failure is the script's.
 */
const everyCheckout = `
every_checkout() {
  "$1" "" || exit
  [ -f .git/${marks.modules} ] || return 0
  while IFS= read -r module <&3; do
    (cd "$module" && [ -f .git/${marks.tree} ] && "$1" "$module/") || exit
  done 3<.git/${marks.modules}
}
`;

/** The tree of what the checkout holds now, on stdout. The index keeps its time: git tells by it what may have changed. */
const treeNow = `
tree_now() {
  cp -p .git/${marks.index} .git/banger/now || return
  GIT_INDEX_FILE="$PWD/.git/banger/now"
  export GIT_INDEX_FILE
  git -c advice.addEmbeddedRepo=false -c core.safecrlf=false add -A . && git write-tree
}
`;

/** Commits that the guest has and the host may not. */
const newCommits = `
new_commits() {
  head=$(git rev-parse -q --verify HEAD || :)
  git rev-list -n 1 --all $head --not $(cat .git/${marks.tips})
}
`;

const needGit = `command -v git >/dev/null || exit ${refusal.noGit}`;
const needOurs = `cd "$1" 2>/dev/null && [ -f .git/${marks.tree} ] || exit ${refusal.foreign}`;

/** $1 checkout, $2 where it is unpacked first. Refuses when something would be lost. */
export const checkScript = `set -u
if [ -d "$2.git" ] && [ -d "$1" ] && [ ! -e "$1/.git" ]; then mv "$2.git" "$1/.git"; fi
rm -rf "$2" "$2.git"
if [ ! -e "$1" ] && [ ! -L "$1" ]; then exit 0; fi
if [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; then exit 0; fi
${needOurs}
[ ! -f .git/banger/replacing ] || exit 0
${needGit}
${everyCheckout}${treeNow}${newCommits}
unchanged() {
  [ -z "$(new_commits)" ] || exit ${refusal.changed}
  now=$(tree_now) || exit
  [ "$now" = "$(cat .git/${marks.tree})" ] || exit ${refusal.changed}
}
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
mkdir -p "$1"
if [ -f "$1/.git/${marks.tree}" ]; then
  cd "$1"
  : >.git/banger/replacing
  ${everyCheckout}
  clear_out() {
    GIT_INDEX_FILE="$PWD/.git/${marks.index}" git ls-files -z | xargs -0 rm -f -- 2>/dev/null || :
    [ -z "$1" ] || rm -rf .git
  }
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
`;

/** $1 checkout. A patch from what was carried to what is there now, on stdout. */
export const patchScript = `set -u
${needOurs}
${needGit}
${everyCheckout}${treeNow}
patch() {
  now=$(tree_now) || exit
  git diff-tree -r -p --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv \\
    --ignore-submodules=all --src-prefix="a/$1" --dst-prefix="b/$1" "$(cat .git/${marks.tree})" "$now"
}
every_checkout patch
`;

/** $1 checkout. A bundle of the commits made there, on stdout; a word on stderr when there is more than commits. */
export const bundleScript = `set -u
${needOurs}
${needGit}
[ -n "$(git rev-list -n 1 HEAD --not $(cat .git/${marks.tips}) 2>/dev/null)" ] || exit ${refusal.noCommits}
branch=$(git symbolic-ref -q HEAD || :)
git bundle create -q - HEAD $branch --not $(cat .git/${marks.tips}) || exit
[ -z "$(git status --porcelain)" ] || exit ${refusal.incomplete}
`;
