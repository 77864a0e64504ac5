exec podmanish run --rm --sdnotify=container host $SLEEP
