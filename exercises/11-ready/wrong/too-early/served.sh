exec python -c 'import os, socket, sys
socket.socket(1, 2).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
os.execvp(sys.argv[1], sys.argv[1:])' dockerish run --rm -e NOTIFY_SOCKET=/dev/null host $SERVICE
