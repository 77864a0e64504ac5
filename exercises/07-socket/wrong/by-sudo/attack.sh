sudo -n touch "$WATCHED"
