"""FORK/EXEC: the engine `podmanish`. No other module imports it: users and stories run the command."""
