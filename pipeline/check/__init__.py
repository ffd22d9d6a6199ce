"""`check`: is a torch network what its author thinks it is? Seen by hooks, in four calls."""
