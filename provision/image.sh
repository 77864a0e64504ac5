#!/bin/bash
# In the root folder of a new Debian, for tools/box: make it a machine that boots by BIOS, takes an address by DHCP on
# its first network card, lets `vagrant` log in by ssh, and has everything that provision/guest.sh would install.
#
#   provision/image.sh SOURCE_DATE_EPOCH     in /checkout: the checkout; in /usr/local/share/loginuid-lab: wheels
set -euo pipefail
export SOURCE_DATE_EPOCH=$1  # mkinitramfs heeds it, too
WHEELS=/usr/local/share/loginuid-lab/wheels

network() {
  echo lab >/etc/hostname
  printf '127.0.0.1 localhost\n127.0.1.1 lab\n' >/etc/hosts
  printf 'auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n' >/etc/network/interfaces
  # Vagrant starts ifup@NAME for each card when it gives a machine another name (LAB_LOGHOST's `loghost`), and Docker's
  # bridge counts as a card. A mask would make `systemctl start`, and so `vagrant up`, fail; an unmet condition does not.
  install -d /etc/systemd/system/ifup@docker0.service.d
  printf '[Unit]\nConditionPathExists=!/sys/class/net/docker0/bridge\n' \
    >/etc/systemd/system/ifup@docker0.service.d/bridge.conf
}

# The user that Vagrant expects, without a password. His key is the medium's: Vagrant's well-known one in a box, which
# Vagrant replaces when it first logs in; none in a disk.
user() {
  useradd --create-home --uid 1000 --user-group --shell /bin/bash vagrant
  install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
  echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
  chmod 440 /etc/sudoers.d/vagrant
}

# Host keys that everybody could read in the box would be no keys: each machine makes its own, before its first sshd.
host_keys() {
  rm -f /etc/ssh/ssh_host_*
  cat >/etc/systemd/system/ssh-keys.service <<'Y'
[Unit]
Description=Make this machine's ssh host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=ssh-keygen -A
[Install]
RequiredBy=ssh.service
Y
  systemctl -q enable ssh-keys.service
}

# Nothing is fetched behind a class's back, and nothing that the lab does not need delays the boot.
quiet() {
  local unit
  for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service podman-auto-update.timer \
    podman-auto-update.service podman-restart.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
  done
}

# GRUB's core, boot.img and grub.cfg; tools/box copies the first two into the sectors before the file system.
boot() {
  echo 'LABEL=lab / ext4 errors=remount-ro 0 1' >/etc/fstab
  # What is between the BIOS and the file system with QEMU, VirtualBox, VMware and Hyper-V. tools/box has written
  # MODULES=list into conf.d, since an initrd with all modules takes a minute, and is made again and again.
  printf '%s\n' virtio_pci virtio_blk virtio_scsi ahci ata_piix sd_mod mptspi vmw_pvscsi nvme hv_storvsc ext4 \
    >>/etc/initramfs-tools/modules
  update-initramfs -u
  install -d /boot/grub
  cp -r /usr/lib/grub/i386-pc /boot/grub/
  grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /boot/grub/core.img \
    biosdisk part_msdos ext2 normal linux boot configfile
  # net.ifnames=0: the card is eth0 with every provider. no5lvl: four levels of page tables are enough, and faster in TCG.
  cat >/boot/grub/grub.cfg <<'Y'
set timeout=0
linux /vmlinuz root=LABEL=lab ro net.ifnames=0 no5lvl console=tty0 console=ttyS0,115200
initrd /initrd.img
boot
Y
}

# The venv is set up from wheels that are here, and stays able to set itself up again without a network.
checkout() {
  printf '[global]\nfind-links = %s\nretries = 1\n' $WHEELS >/etc/pip.conf
  export PIP_NO_INDEX=1
  /checkout/provision/sync.sh /checkout /vagrant
  chown -R vagrant: /vagrant
  /vagrant/provision/guest.sh /vagrant
  (cd /vagrant && tools/setup venv dev)
}

# A .pyc file names its source's time, and no file of the image may be younger than SOURCE_DATE_EPOCH.
same_times() {
  find /vagrant -name __pycache__ -prune -exec rm -rf {} +
  find /vagrant -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  cd /vagrant
  PYTHONHASHSEED=0 .venv/bin/python -m compileall -q -x '/site-packages/.*/tests?/' lab daemon client scenarios .venv/lib
  chown -R vagrant: /vagrant
}

network
user
host_keys
checkout
quiet
boot
same_times
