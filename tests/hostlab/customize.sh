# Turns a fresh tree ($1) that debian-slim's script has trimmed into an ordinary Debian host for banger's system mode.
# Its caller sets guest: the directory of the image that VMs in there start from.
set -eu
root=$1

# Names are systemd-resolved's to find, as on other Debian hosts that have it. The guest's agent puts a resolver of its
# own in the place of a link that leads nowhere yet.
mkdir -p "$root/etc/systemd/resolved.conf.d" "$root/etc/systemd/system/systemd-resolved.service.d"
printf '[Resolve]\nDNS=10.0.2.3\n' >"$root/etc/systemd/resolved.conf.d/hostlab.conf"
printf '[Service]\nExecStartPre=+ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf\n' \
  >"$root/etc/systemd/system/systemd-resolved.service.d/hostlab.conf"

# Who installs banger, and whose daemon it will be.
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash ann

# The trimming keeps udev from looking at processors, which is what loads these on other hosts.
printf '%s\n' kvm-amd tun >"$root/etc/modules-load.d/hostlab.conf"
rm -f "$root/etc/modprobe.d/banger.conf"

# What units said is kept over a boot.
rm -f "$root/etc/systemd/journald.conf.d/10-banger.conf"
mkdir -p "$root/var/log/journal"

# The image of the VMs inside: copying it into a running lab would take most of a minute.
mkdir -p "$root/opt/guest-images"
cp -a --sparse=always "$guest" "$root/opt/guest-images/"
