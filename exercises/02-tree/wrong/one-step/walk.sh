echo "$1 $(cat /proc/$1/comm) $(cat /proc/$1/loginuid)"
