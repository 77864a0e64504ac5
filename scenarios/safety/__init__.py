"""What the lab changed on this machine, how it is taken back, and proof that nothing is left."""
