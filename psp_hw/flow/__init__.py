"""The pipeline as plain functions: source, train, emit, estimate, simulate, report, demo.

A package rather than one file, so that each step is one module. Nothing here prints or exits; heavy imports happen inside
the functions, so that a command loads only what it needs.
"""
