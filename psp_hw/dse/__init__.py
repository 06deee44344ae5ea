"""Design-space exploration: the folds, memories and FIFO depths that meet a goal at least cost."""
