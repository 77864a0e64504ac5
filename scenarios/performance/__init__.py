"""What a run performs: beats, which are facts in their order; every audience shows them in its own way."""
