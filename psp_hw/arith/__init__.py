"""Fixed point: formats, ranges, rounding and saturation, defined once (docs/arithmetic.md)."""
