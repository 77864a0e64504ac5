exec podmanish run --rm --sdnotify=conmon host $SLEEP
