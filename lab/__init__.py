"""The ground of the lab and its fork/exec engine. Standard library only; imports nothing from the other rooms."""
