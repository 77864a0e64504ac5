"""CLIENT/SERVER: the root daemon `labd`, which forks the containers of everybody who may open its socket."""
