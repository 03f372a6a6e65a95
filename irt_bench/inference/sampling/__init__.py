"""NUTS and SVI: the log density of a Pyro program, the coordinates around it, and what samples them."""
