"""CLIENT/SERVER: the root daemon `labd`, which forks the containers of all users who may open its socket."""
