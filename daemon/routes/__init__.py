"""The Engine API's paths, a module for each kind of thing. Handlers are short: what they do lives elsewhere."""
