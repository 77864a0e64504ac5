"""What a story may need beside the two engines: daemons, other machines, attackers."""
