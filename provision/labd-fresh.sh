#!/bin/bash
# Restart labd.service if the code in CHECKOUT is newer than the running labd: provision/labd-fresh.sh CHECKOUT
#
# labd-fresh.path runs this script when a file is saved; so do provision/sync.sh and tools/where, who cannot wait for
# that. labd.service touches /run/labd.started before it starts.
set -euo pipefail
cd "$1"

newer() { find lab daemon -name '*.py' -newer /run/labd.started -print -quit | grep -q .; }

exec 9>/run/labd-fresh.lock
flock 9
while newer; do
  echo "lab: the code of labd was changed: labd is restarted"
  systemctl reset-failed labd.service
  systemctl restart labd.service || { echo "lab: labd does not start. To see why:  journalctl -u labd -n 20" >&2; exit 1; }
done
