# Ends every recipe: writes the finished tree ($1) as ext4 to file descriptor 3. Its caller sets rootfs_mib.
set -eu
root=$1

# What the build itself put into the tree; mmdebstrap would take it out only after this.
if [ -e "$root/sbin/start-stop-daemon.REAL" ]; then
  mv "$root/sbin/start-stop-daemon.REAL" "$root/sbin/start-stop-daemon"
fi
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/00mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -rf "$root"/tmp/* "$root"/var/tmp/* "$root"/run/*

# A bind mount shows the tree without the /proc, /sys and /dev that are mounted in it for the build.
mkdir "$root/tmp/tree"
mount --bind "$root" "$root/tmp/tree"
# The descriptor's file may lie where the build's own user may not look; the link in /proc leads to it all the same.
# What lazy initialisation leaves unwritten is a hole in the file, so zero already; the guest mounts it accordingly.
mke2fs -q -F -t ext4 -L banger-root -m 0 -E root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1 -d "$root/tmp/tree" \
  /proc/self/fd/3 "${rootfs_mib}M"
umount "$root/tmp/tree"
rmdir "$root/tmp/tree"
