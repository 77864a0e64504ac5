exec podmanish run --rm host $SERVICE
