/**
 * Shell text for git in a guest, where others work meanwhile: it takes no lock that they use, leaves nothing behind, and
 * what it finds does not depend on its user's settings.
 */
import { shellQuote } from "../lib/shell.js";
import { marks } from "./marks.js";

/** What a script says of a path on stderr, a line each: `note KIND PATH`. */
export const noteKinds = ["nested", "broken", "special", "refused", "module", "filter"] as const;
export type NoteKind = (typeof noteKinds)[number];

/**
 * For `git`: hooks and monitors must not run, and the guest's file system tells letters apart and takes every name,
 * whatever the host's did.
 */
const settings = [
  ...["core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false"],
  ...["core.splitIndex=false", "index.sparse=false", "core.safecrlf=false", "core.looseCompression=0"],
  ...["core.ignoreCase=false", "core.protectNTFS=false", "core.protectHFS=false", "core.quotePath=true"],
]
  .map((setting) => `-c ${setting}`)
  .join(" ");

/**
 * `own_place`, called in a checkout of ours, makes the directory $mine for this run alone. What a run that was killed
 * left of its own is removed by the next one.
 */
const ownPlace = String.raw`
own_place() {
  for old in .git/${marks.runs}.*; do
    owner=${"$"}{old#.git/${marks.runs}.}
    owner=${"$"}{owner%%.*}
    [ ! -d "$old" ] || kill -0 "$owner" 2>/dev/null || rm -rf "$old"
  done
  mine=$(mktemp -d "$PWD/.git/${marks.runs}.$$.XXXXXX") || exit
  trap 'rm -rf "$mine"' EXIT
  trap 'exit 129' HUP
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
  for name in $(env | sed -n 's/^\(GIT_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
  unset XDG_CONFIG_HOME
  export mine HOME="$mine" LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_OPTIONAL_LOCKS=0 GIT_NO_REPLACE_OBJECTS=1
  printf '[safe]\n\tdirectory = *\n' >"$mine/.gitconfig"
}
`;

/** Tells the paths that git can take from those that it cannot. $work and $below are those of \`take\`. */
const sorting = String.raw`
for path; do
  case $path in
  */) printf "%s\0" "$path" >>"$work/nested" ;;
  *)
    if [ -L "$path" ] || [ -f "$path" ] || [ -d "$path" ] || [ ! -e "$path" ]; then printf "%s\0" "$path"
    else printf "note special %s\n" "$below$path" >&2; fi ;;
  esac
done
`;

/**
 * `take INDEX` prints the tree of what the work tree holds, told by an index that describes it in part; repositories
 * within it are in that tree as files, but for those that the outer one ignores. Its objects are in $mine. $below is
 * the path of the work tree for people. Listings go through files: a pipe would hide that its beginning failed.
 */
const taking = String.raw`
objects() {
  export GIT_OBJECT_DIRECTORY="$mine/objects"
  mkdir -p "$mine/objects/info" && (
    unset GIT_OBJECT_DIRECTORY
    own=$(git rev-parse --git-path objects) && cd "$own" && pwd
  ) >>"$mine/objects/info/alternates"
}
listed() {
  git $settings "$@" >"$work/all" && xargs -0 sh -c "$sorting" sh <"$work/all" >"$work/listed"
}
update() {
  if ! git $settings update-index "$@" -z --stdin <"$work/listed" 2>"$work/said"; then
    cat "$work/said" >&2
    return 1
  fi
  sed -n 's/^Ignoring path \(.*[^/]\)$/\1/p' "$work/said" | while IFS= read -r path; do
    printf "note refused %s\n" "$below$path" >&2
  done
}
take() {
  objects && work=$(mktemp -d "$mine/work.XXXXXX") || return
  export work below GIT_INDEX_FILE="$work/index"
  [ ! -f "$1" ] || cp -p "$1" "$GIT_INDEX_FILE" || return
  tracked="diff-files -z --name-only --ignore-submodules=all"
  listed $tracked --diff-filter=D && update --force-remove || return
  listed $tracked --diff-filter=d && update --remove || return
  listed ls-files -z -o --exclude-standard && update --add --replace --remove || return
  [ ! -s "$work/nested" ] || xargs -0 -n 1 sh -c "$taking nested \"\$1\"" sh <"$work/nested" || return
  git write-tree
}
nested() {
  inner=$(
    cd "./$1" && below=$below$1 && index=$(unset GIT_INDEX_FILE; git rev-parse --git-path index) || exit
    take "$index"
  )
  if [ -z "$inner" ]; then
    printf "note broken %s\n" "$below$1" >&2
    return
  fi
  git read-tree --prefix="$1" "$inner" || return
  git --literal-pathspecs ls-files -z -i -c --exclude-standard -- "$1" >"$work/listed" || return
  update --force-remove && printf "note nested %s\n" "$below$1" >&2
}
`;

/** Defines `own_place` and `take`. */
export const guestGit = `${ownPlace}
settings=${shellQuote(settings)}
sorting=${shellQuote(sorting)}
taking=${shellQuote(taking)}
export settings sorting taking
eval "$taking"
`;
