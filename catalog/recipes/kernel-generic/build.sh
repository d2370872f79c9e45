# Builds a kernel that needs no modules: $1 is the archive of its source, $2 the configuration to put on top of
# defconfig and kvm_guest.config, $3 the directory that gets vmlinux and its release; works in the present directory.
set -eu
for tool in gcc make flex bison bc; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: apt-get install gcc make flex bison bc libelf-dev" >&2; exit 1; }
done
mkdir source
tar -x -f "$1" -C source --strip-components=1
cd source
make -s x86_64_defconfig kvm_guest.config
scripts/kconfig/merge_config.sh -m .config "$2" >/dev/null
make -s olddefconfig
# What the configuration asks for and this kernel does not have would be missed only by a guest.
grep '^CONFIG_' "$2" | while read -r line; do
  grep -qxF "$line" .config || { echo "this kernel cannot have $line" >&2; exit 1; }
done
nice make -s -j"$(nproc)" vmlinux
strip -s -o "$3/vmlinux" vmlinux
make -s kernelrelease >"$3/release"
