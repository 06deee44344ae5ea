"""What a design costs: cycles and resources, from a bill of operators and measured prices."""
