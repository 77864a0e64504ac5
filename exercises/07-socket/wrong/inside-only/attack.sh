dockerish run --rm host touch /tmp/shadow
