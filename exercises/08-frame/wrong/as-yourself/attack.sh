echo {{colleague_uid}} > /proc/self/loginuid
touch "$WATCHED"
