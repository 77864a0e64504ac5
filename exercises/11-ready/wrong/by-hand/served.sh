exec dockerish run --rm -v "$NOTIFY_SOCKET:/notify" -e NOTIFY_SOCKET=/notify host $SERVICE
