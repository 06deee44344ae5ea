"""Typed results in; one HTML page, Markdown and JSON out."""
