#!/bin/bash
# Copy the checkout that Lima has mounted to /lab; what was edited there is kept. Root runs this script in the guest.
set -euo pipefail
new=/var/lib/loginuid-lab/new
rm -rf $new
mkdir -p $new
tar -C /mnt/lab -X /mnt/lab/provision/not-copied -cf - . | tar -C $new --no-same-owner -xf -
bash $new/provision/sync.sh $new /lab
