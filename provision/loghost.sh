#!/bin/bash
# Make this Debian or Ubuntu the host that receives the lab's audit log: auditd(8), listening on TCP port 60.
# Run this as root, again as often as you like. To read the records: ausearch --input-logs -i -n lab
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
dpkg-query -W -f '${db:Status-Status}' auditd 2>/dev/null | grep -qx installed ||
  { apt-get -qq update; apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends auditd >/dev/null; }
systemctl -q enable --now auditd.service
conf=/etc/audit/auditd.conf
if ! grep -q '^tcp_listen_port = 60$' $conf; then
  sed -i '/tcp_listen_port/d' $conf
  echo 'tcp_listen_port = 60' >>$conf
  systemctl kill --signal=HUP auditd.service  # auditd reads its configuration again; auditd(8)
  echo "loghost: auditd listens on port 60"
fi
