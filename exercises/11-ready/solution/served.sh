exec python -m scenarios.props.relay "$PLACE/notify" \
    dockerish run --rm -v "$PLACE/notify:/notify" -e NOTIFY_SOCKET=/notify host $SERVICE
