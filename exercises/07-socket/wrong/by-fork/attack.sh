podmanish run --rm -v /:/host host touch "/host$WATCHED"
