"""CLIENT/SERVER: `dockerish`, which asks the daemon for a container and never forks one."""
