pid=$1
while [ "$pid" -gt 0 ]; do
    echo "$pid $(cat "/proc/$pid/comm") $(cat "/proc/$pid/loginuid")"
    pid=$(sed -n "s/^PPid:[^0-9]*//p" "/proc/$pid/status")
done
