"""The performance in a browser: trees, records and stamps, drawn as the beats come, for many viewers at once."""
