"""The integer graph: what is computed, exactly, and nothing of how it runs (docs/ir.md)."""
