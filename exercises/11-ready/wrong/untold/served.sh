# The same for the daemon's container. $SERVICE itself sends READY=1 to the socket that NOTIFY_SOCKET names, inside.
# $PLACE is a directory for what you need; it is the same for this script and for labd.
exec dockerish run --rm host $SERVICE
