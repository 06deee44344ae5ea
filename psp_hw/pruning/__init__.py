"""Parameterized structured pruning (PSP, arXiv 1906.05180) on convolution weights."""
