"""Execute a graph exactly (values), and the design that follows from it in time (cycles)."""
