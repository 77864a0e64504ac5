cat /proc/self/loginuid
