"""External programs and their output."""
