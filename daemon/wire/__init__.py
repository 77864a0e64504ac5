"""HTTP between labd and its clients: the socket, versions, errors, taken-over connections."""
