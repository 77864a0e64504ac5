chroot /host touch "$WATCHED"
