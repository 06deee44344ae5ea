"""The commands: each parses, calls the flow and prints."""
