#!/bin/bash
# Make this Debian or Ubuntu the lab's own machine: run as root, again as often as you like.
#
#   provision/guest.sh [CHECKOUT]     CHECKOUT is /vagrant if Vagrant put it there, else where this script lies
#   LOGHOST=ADDRESS                   send the audit log to this host, too
#
# `vagrant up` runs this script. Without Vagrant (Lima, Multipass, a cloud instance) run it by hand. It installs the
# packages below, a user who may use sudo without a password, a group, four systemd units, links to the commands in
# /usr/local/bin, a file in /etc/profile.d, and /etc/loginuid-lab, which makes the real /etc/shadow the file that the
# stories watch. So use a machine that serves the lab alone.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# nftables and passt are Podman's: Debian 13 only recommends them, and --no-install-recommends leaves them out.
PACKAGES=(auditd audispd-plugins podman docker.io apparmor python3-venv uidmap slirp4netns nftables passt
  dbus-user-session fuse-overlayfs make socat busybox-static sudo tmux at cron screen opendoas pkexec polkitd openssh-server
  systemd-container)
COMMANDS=(lab podmanish dockerish labd)

main() {
  [ "$(id -u)" = 0 ] || { echo "provision/guest.sh: needs root: sudo provision/guest.sh" >&2; exit 1; }
  local checkout=${1:-$(checkout)}
  packages
  people
  user_namespaces
  venv "$checkout"
  login "$checkout"
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

# The docker command: in docker-cli since Debian 13; in docker.io in Debian 12 and in Ubuntu.
wanted() {
  printf '%s\n' "${PACKAGES[@]}"
  # shellcheck source=/dev/null
  case $(. /etc/os-release; echo "$ID ${VERSION_ID:-99}") in debian\ 1[12]) ;; debian*) echo docker-cli ;; esac
}

packages() {
  local name missing=()
  for name in $(wanted); do
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

# Ubuntu 24.04 lets only programs with an AppArmor profile make user namespaces, which rootless containers need.
user_namespaces() {
  local knob=kernel/apparmor_restrict_unprivileged_userns
  [ -e "${PROC_SYS:=/proc/sys}/$knob" ] || return 0
  write "${SYSCTL_D:=/etc/sysctl.d}/60-loginuid-lab.conf" <<<"${knob//\//.} = 0" || true
  echo 0 >"$PROC_SYS/$knob"
}

venv() {
  make -s -C "$1" venv
  local name
  for name in "${COMMANDS[@]}"; do ln -sfn "$1/.venv/bin/$name" "/usr/local/bin/$name"; done
}

# The commands in the pages and on the screen are to be pasted in the checkout.
login() {
  write /etc/profile.d/loginuid-lab.sh <<X || true
case \$- in *i*) [ "\$PWD" != "\$HOME" ] || cd "$1" ;; esac
X
}

# labd.service and labd.socket as the lab ships them; what differs on this machine goes into drop-in files.
units() {
  local unit changed=
  for unit in labd.service labd.socket; do
    write "/etc/systemd/system/$unit" <"$1/daemon/$unit" && changed=1
  done
  write /etc/systemd/system/labd.service.d/checkout.conf <<X && changed=1
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPre=touch /run/labd.started
ExecStart=
ExecStart="$1/.venv/bin/labd" --state /var/lib/lab
X
  write /etc/systemd/system/labd.socket.d/group.conf <<X && changed=1
[Socket]
SocketGroup=lab
X
  fresh_units "$1" && changed=1
  if [ -n "$changed" ] && booted; then
    systemctl daemon-reload
    systemctl stop labd-fresh.path labd.service labd.socket
  fi
}

# Whether systemd runs this machine, sd_booted(3): not so while tools/box makes an image.
booted() { [ -d /run/systemd/system ]; }

# A path unit watches one folder, not those below it.
fresh_units() {
  local changed=1
  write /etc/systemd/system/labd-fresh.service <<X && changed=0
[Unit]
Description=Restart labd if its code has changed
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart="$1/provision/labd-fresh.sh" "$1"
X
  write /etc/systemd/system/labd-fresh.path <<X && changed=0
[Unit]
Description=The code of labd
[Path]
$(find "$1/lab" "$1/daemon" -type d ! -name __pycache__ | sort | sed 's/^/PathChanged=/')
[Install]
WantedBy=multi-user.target
X
  return $changed
}

services() {
  # podman.socket only listens: systemd starts Podman's service when a client connects.
  local now=(); if booted; then now=(--now); fi
  systemctl -q enable "${now[@]}" auditd.service atd.service docker.service podman.socket labd.socket labd.service \
    labd-fresh.path
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

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
