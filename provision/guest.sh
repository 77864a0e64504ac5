#!/bin/bash
# Make this Debian or Ubuntu the lab's own machine: run as root, again as often as you like.
#
#   provision/guest.sh [CHECKOUT]     CHECKOUT is /vagrant if Vagrant put it there, else where this script lies
#   LOGHOST=ADDRESS                   send the audit log to this host, too
#
# `vagrant up` runs this script. Without Vagrant (Lima, Multipass, a cloud instance) run it by hand. It installs the
# packages below, a user who may use sudo without a password, a group, two systemd units, three links in
# /usr/local/bin, and /etc/loginuid-lab, which makes the real /etc/shadow the file that the stories watch. So use a
# machine that serves the lab alone.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

PACKAGES=(auditd audispd-plugins podman docker.io apparmor python3-venv uidmap slirp4netns dbus-user-session
  fuse-overlayfs make socat busybox-static sudo tmux at)
COMMANDS=(lab podmanish dockerish)

main() {
  [ "$(id -u)" = 0 ] || { echo "provision/guest.sh: needs root: sudo provision/guest.sh" >&2; exit 1; }
  local checkout=${1:-$(checkout)}
  packages
  people
  venv "$checkout"
  units "$checkout"
  services
  [ -z "${LOGHOST:-}" ] || ship_audit_log "$LOGHOST"
  write /etc/loginuid-lab <<<"$checkout" || true
  say "ready: make demo"
}

say() { printf 'lab: %s\n' "$*"; }

checkout() {
  if [ -e /vagrant/pyproject.toml ]; then echo /vagrant; else dirname "$(dirname "$(readlink -f "$0")")"; fi
}

# write FILE: write standard input to the file; status 1 if the file had that content already.
write() {
  local new; new=$(cat)
  [ "$(cat "$1" 2>/dev/null)" != "$new" ] || return 1
  mkdir -p "$(dirname "$1")"
  printf '%s\n' "$new" >"$1"
  say "wrote $1"
}

packages() {
  local name missing=()
  for name in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  apt-get -qq update
  apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# dwalsh, uid 3267, is the user of the article's records. He logs in with vagrant's key.
people() {
  getent group lab >/dev/null || { groupadd --system lab; say "group lab"; }
  id dwalsh >/dev/null 2>&1 || { useradd --create-home --uid 3267 --shell /bin/bash dwalsh; say "user dwalsh (3267)"; }
  write /etc/sudoers.d/dwalsh <<<'dwalsh ALL=(ALL) NOPASSWD: ALL' || true
  chmod 440 /etc/sudoers.d/dwalsh
  local keys=/home/vagrant/.ssh/authorized_keys
  if [ -e "$keys" ] && ! cmp -s "$keys" /home/dwalsh/.ssh/authorized_keys; then
    install -d -m 700 -o dwalsh -g dwalsh /home/dwalsh/.ssh
    install -m 600 -o dwalsh -g dwalsh "$keys" /home/dwalsh/.ssh/authorized_keys
  fi
}

venv() {
  make -s -C "$1" venv
  local name
  for name in "${COMMANDS[@]}"; do ln -sfn "$1/.venv/bin/$name" "/usr/local/bin/$name"; done
}

# labd.service and labd.socket as the lab ships them; what differs on this machine goes into drop-in files.
units() {
  local unit changed=
  for unit in labd.service labd.socket; do
    write "/etc/systemd/system/$unit" <"$1/daemon/$unit" && changed=1
  done
  write /etc/systemd/system/labd.service.d/checkout.conf <<X && changed=1
[Service]
ExecStart=
ExecStart="$1/.venv/bin/labd" --state /var/lib/lab
X
  write /etc/systemd/system/labd.socket.d/group.conf <<X && changed=1
[Socket]
SocketGroup=lab
X
  [ -z "$changed" ] || { systemctl daemon-reload; systemctl stop labd.service labd.socket; }
}

services() {
  # podman.socket only listens: systemd starts Podman's service when a client connects.
  systemctl -q enable --now auditd.service atd.service docker.service podman.socket labd.socket labd.service
}

# auditd hands each record, under this machine's name, to audisp-remote(8), which sends it to LOGHOST.
ship_audit_log() {
  local changed=
  write /etc/audit/audisp-remote.conf <<X && changed=1
remote_server = $1
port = 60
transport = tcp
mode = immediate
queue_file = /var/spool/audit/remote.log
queue_depth = 10240
format = managed
network_retry_time = 1
max_tries_per_record = 3
max_time_per_record = 5
network_failure_action = syslog
remote_ending_action = reconnect
X
  write /etc/audit/plugins.d/au-remote.conf <<X && changed=1
active = yes
direction = out
path = /sbin/audisp-remote
type = always
format = string
X
  if ! grep -q '^name_format = hostname$' /etc/audit/auditd.conf; then
    sed -i '/^name_format/d' /etc/audit/auditd.conf
    echo 'name_format = hostname' >>/etc/audit/auditd.conf
    changed=1
  fi
  [ -z "$changed" ] || restart_auditd
}

# After a SIGHUP the plugin would run, but auditd would write node=(null). auditd's unit refuses `systemctl stop`.
restart_auditd() {
  mkdir -p /var/spool/audit
  systemctl kill auditd.service
  while systemctl -q is-active auditd.service; do sleep 0.2; done
  systemctl start auditd.service
}

main "$@"
