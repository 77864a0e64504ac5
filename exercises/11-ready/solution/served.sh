exec python -m scenarios.props.relay "$PLACE/relay" \
    dockerish run --rm -v "$PLACE/relay:/notify" -e NOTIFY_SOCKET=/notify host $SERVICE
