dockerish run --rm -v /:/host host sh -c "echo {{colleague_uid}} > /proc/self/loginuid; touch /host$WATCHED"
