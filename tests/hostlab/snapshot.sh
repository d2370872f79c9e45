# Prints what banger could leave behind on a host, one fact a line under a heading; nothing in it changes by itself, or with
# a boot.
section() { printf '== %s\n' "$1"; }

section links
ip -br link | awk '{ print $1, $2, $3 }'
ip -br address
section routes
ip rule
ip route show table all | sed -E 's/ expires [0-9]+sec//'
section "firewall rules"
nft list ruleset
iptables-save 2>/dev/null | grep -v '^#'
section sysctl
sysctl -a --pattern '^net\.ipv[46]\.(ip_forward|conf\.(all|default|eth0)\.)' 2>/dev/null
section resolver
resolvectl dns
resolvectl domain
section loops
losetup --list --noheadings --output NAME,BACK-FILE
section "device mapper"
dmsetup ls
section mounts
awk '{ print $5, $4 }' /proc/1/mountinfo | sort
section namespaces
lsns --noheadings --output TYPE,NS,COMMAND --type net | sort
section units
systemctl list-unit-files --no-legend --plain | awk '{ print $1, $2 }'
systemctl list-units --all --no-legend --plain --type service,socket,timer,slice,scope |
  awk '$1 !~ /^(modprobe@|systemd-tmpfiles-clean|systemd-hostnamed)/ { print $1, $3 }'
section cgroups
find /sys/fs/cgroup -mindepth 1 -type d | grep -v '/modprobe@' | sort
section accounts
cat /etc/passwd /etc/group
section processes
ps --ppid 2 -p 2 --deselect --format user=,args= | grep -Ev 'snapshot|\(udev-worker\)|ps --ppid|sed -E|grep -Ev|sort$' | sort
section files
find / /run /dev/shm -xdev \( -path /proc -o -path /var/log -o -path /var/lib/systemd -o -path /run/log -o -path /run/udev \
  -o -path /run/systemd/journal -o -path /run/systemd/units -o -path /run/systemd/resolve/netif -o -path /opt/guest-images \
  -o -path /root -o -path /usr/share -o -path /usr/local/lib/banger -o -path /usr/lib/python3 \) -prune -o -printf '%y %m %u:%g %p %l\n' |
  sed -E 's/(systemd-private)-[0-9a-f]{32}-([^/]*)-[[:alnum:]]{6}/\1-\2/' | sort
section configuration
find /etc -type f -exec sha256sum {} +
