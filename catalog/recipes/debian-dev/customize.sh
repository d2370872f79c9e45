
# Docker and its containerd start when something first speaks to Docker's socket: a boot need not wait for them.
systemctl --quiet --root="$root" disable docker.service containerd.service
systemctl --quiet --root="$root" enable docker.socket
mkdir -p "$root/etc/docker"
# Its own range, so that it does not take that of the VM's network; logs that do not fill the disk.
cat >"$root/etc/docker/daemon.json" <<'EOF'
{ "bip": "172.30.0.1/24", "log-driver": "local", "storage-driver": "overlay2" }
EOF
cat >"$root/etc/tmux.conf" <<'EOF'
set -g default-terminal "tmux-256color"
set -g history-limit 50000
set -g mouse on
set -g renumber-windows on
set -sg escape-time 10
EOF

# Debian 12 has Compose 1 only: there `docker compose` runs that. Where Compose is a plugin of its own, this is not written.
plugins=$root/usr/libexec/docker/cli-plugins
if [ ! -e "$plugins/docker-compose" ]; then
  mkdir -p "$plugins"
  cat >"$plugins/docker-compose" <<'EOF'
#!/bin/sh
if [ "$1" = docker-cli-plugin-metadata ]; then
  version=$(docker-compose version --short)
  echo '{"SchemaVersion":"0.1.0","Vendor":"Debian","Version":"'"$version"'","ShortDescription":"Docker Compose"}'
  exit
fi
# Docker gives its own options before the name of the plugin.
while [ $# -gt 0 ] && [ "$1" != compose ]; do shift; done
shift
exec docker-compose "$@"
EOF
  chmod 0755 "$plugins/docker-compose"
fi
