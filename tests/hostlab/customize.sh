# Turns a fresh tree ($1) that debian-slim's script has trimmed into an ordinary Debian host for banger's system mode.
set -eu
root=$1

# Whom banger is installed for.
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash ann

# Names are systemd-resolved's to find, as on other Debian hosts that have it. The guest's agent puts a resolver of its
# own in the place of a link that leads nowhere yet.
mkdir -p "$root/etc/systemd/resolved.conf.d" "$root/etc/systemd/system/systemd-resolved.service.d"
printf '[Resolve]\nDNS=10.0.2.3\n' >"$root/etc/systemd/resolved.conf.d/hostlab.conf"
printf '[Service]\nExecStartPre=+ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf\n' \
  >"$root/etc/systemd/system/systemd-resolved.service.d/hostlab.conf"

# The trimming keeps udev from looking at processors, which is what loads KVM on other hosts.
echo kvm-amd >"$root/etc/modules-load.d/hostlab.conf"
rm -f "$root/etc/modprobe.d/banger.conf" "$root/etc/systemd/system/modprobe@.service"

# What units said is kept over a boot.
rm -f "$root/etc/systemd/journald.conf.d/10-banger.conf"
mkdir -p "$root/var/log/journal"

# The image of the VMs inside, which lies beside the tree: copying it into a running lab would take most of a minute.
cp -a --sparse=always "${root%/*}/guest-images" "$root/opt/"
chown -R 0:0 "$root/opt/guest-images"
