"""Writers of hardware: each turns a graph and its fold plan into a design folder."""
