"""Networks as plain data: the graph, its neurons, fixed point, and files."""
