# walk.sh PID: a line for each process from PID up to pid 1: its pid, its name, its loginuid. For example:
#     4711 cat 1001
pid=$1
name=$(cat "/proc/$pid/comm")
echo "$pid $name ?"
# Which file below /proc/PID tells the parent's pid? Go on there, until the parent is 0.
