"""The engines side by side: `make bench`."""
