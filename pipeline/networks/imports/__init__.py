"""Networks of other libraries as a :class:`backends.network.Network`: followed while they run, folded, and proven."""
