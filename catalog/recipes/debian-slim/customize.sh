# Makes a fresh Debian tree ($1) into a guest that boots fast; runs as root of the build, outside of the tree.
# What lies in catalog/guest is in the tree already.
set -eu
root=$1

# What makes one VM itself comes with its seed at every boot, so the image has none of it.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/hostname "$root"/etc/resolv.conf
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
# Without these two systemd has nothing to remount and no module list to look through.
rm -f "$root/etc/fstab" "$root/etc/modules-load.d/modules.conf"

# The kernel is started from outside of the disk; only what modprobe reads stays.
rm -f "$root"/boot/initrd.img-* "$root"/boot/System.map-* "$root"/initrd.img* "$root"/vmlinuz*

mkdir -p "$root/etc/systemd/system/ssh.service.d"
# The stock unit runs sshd a second time only to check its configuration.
cat >"$root/etc/systemd/system/ssh.service.d/10-banger.conf" <<'EOF'
[Service]
ExecStartPre=
EOF

echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
chmod 0755 "$root/root"
mkdir -p "$root/root/.ssh"
chmod 0700 "$root/root/.ssh"

# Journals stay in memory: a disposable machine gains nothing from writing them through to its disk.
mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nAudit=no\n' >"$root/etc/systemd/journald.conf.d/10-banger.conf"
rm -rf "$root/var/log/journal"
printf '[Manager]\nDefaultTimeoutStopSec=10s\nShowStatus=no\n' >"$root/etc/systemd/system.conf.d/10-banger.conf"

# Nothing below helps a machine with three known disks, one known interface and no screen.
for unit in \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  motd-news.timer systemd-udev-settle.service systemd-networkd.service systemd-networkd.socket \
  systemd-networkd-wait-online.service systemd-random-seed.service \
  systemd-pstore.service systemd-journal-flush.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service systemd-boot-update.service systemd-binfmt.service \
  systemd-hwdb-update.service systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrmachine.service \
  proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  dev-hugepages.mount modprobe@.service getty.target getty@.service serial-getty@.service \
  console-getty.service kmod-static-nodes.service systemd-ask-password-console.path systemd-ask-password-wall.path \
  ifupdown-pre.service networking.service keyboard-setup.service console-setup.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
# The first program has mounted / already; where somebody writes an fstab its options are applied.
mkdir -p "$root/etc/systemd/system/systemd-remount-fs.service.d"
printf '[Unit]\nConditionPathExists=/etc/fstab\n' >"$root/etc/systemd/system/systemd-remount-fs.service.d/10-banger.conf"
# Nobody has to be kept from logging in while it boots: a file for that, and a service that removes it, are not needed.
ln -sf /dev/null "$root/etc/tmpfiles.d/systemd-nologin.conf"
ln -sf /dev/null "$root/etc/systemd/system/systemd-user-sessions.service"
# The bus, and what reboot and hostnamectl reach over it, start when something first speaks to them: a boot need not wait.
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
for unit in dbus.service systemd-logind.service; do
  ln -sf /dev/null "$root/etc/systemd/system/multi-user.target.wants/$unit"
done
for generator in cryptsetup debug getty gpt-auto hibernate-resume integritysetup rc-local run ssh system-update veritysetup; do
  mkdir -p "$root/etc/systemd/system-generators"
  ln -sf /dev/null "$root/etc/systemd/system-generators/systemd-$generator-generator"
done

# Of some 200 devices only these have names, rights or links that the kernel does not give by itself.
mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
cat >"$root/etc/systemd/system/systemd-udev-trigger.service.d/10-banger.conf" <<'EOF'
[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add --subsystem-match=block --subsystem-match=net --subsystem-match=misc
EOF
# The kernel itself names the devices that a boot needs. What udev adds to them (/dev/disk/by-*, rights) is added when the boot is
# over, since udev takes a third of a boot without KVM; a device that comes later starts it by its socket.
mkdir -p "$root/etc/systemd/system/sysinit.target.wants" "$root/etc/systemd/system/timers.target.wants"
for unit in systemd-udevd.service systemd-udev-trigger.service; do
  ln -sf /dev/null "$root/etc/systemd/system/sysinit.target.wants/$unit"
done
cat >"$root/etc/systemd/system/systemd-udev-trigger.timer" <<'EOF'
[Unit]
Description=Coldplug once the boot is over
[Timer]
OnActiveSec=20s
AccuracySec=1s
EOF
ln -sf ../systemd-udev-trigger.timer "$root/etc/systemd/system/timers.target.wants/systemd-udev-trigger.timer"
# The nodes of modules that load on first use are known now: kmod need not look for them at every boot.
mkdir -p "$root/etc/tmpfiles.d"
awk '!/^#/ { type = substr($3, 1, 1); print type "! /dev/" $2 " 0600 - - - " substr($3, 2) }' \
  "$root"/usr/lib/modules/*/modules.devname >"$root/etc/tmpfiles.d/static-nodes.conf"

# systemd and udev load these ahead of need, and the first load makes the kernel check all of its type information.
# By their names they still load as soon as something uses them.
printf 'blacklist %s\n' autofs4 ip_tables qemu_fw_cfg >"$root/etc/modprobe.d/banger.conf"

# A halted guest would keep its VMM for ever.
ln -sf /usr/lib/systemd/system/poweroff.target "$root/etc/systemd/system/halt.target"
# Marks the tree as up to date: without these files the first boot rebuilds caches.
touch "$root/etc/.updated" "$root/var/.updated"

# A key that only the build's host has would keep the guest's own apt from working.
key=$(sed -n 's/.*signed-by="\{0,1\}\([^]" ]*\).*/\1/p' "$root/etc/apt/sources.list" | head -n 1)
if [ -n "$key" ] && [ ! -e "$root$key" ]; then sed -i 's/\[[^]]*\] //' "$root/etc/apt/sources.list"; fi
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
rm -rf "$root"/var/log/apt "$root"/var/log/dpkg.log "$root"/var/log/alternatives.log
