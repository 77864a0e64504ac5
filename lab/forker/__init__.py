"""FORK/EXEC: the engine `podmanish`. The ground below never imports it; nobody else does, either."""
