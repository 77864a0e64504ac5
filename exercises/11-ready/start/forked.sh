# A unit of Type=notify runs this with sh. Nobody else knows when $SLEEP is up: it says nothing.
# The unit is ready once READY=1 has come to $NOTIFY_SOCKET from one of its own processes, while the container runs.
exec podmanish run --rm host $SLEEP
