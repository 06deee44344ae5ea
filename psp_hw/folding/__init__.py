"""How a graph runs: folds, memories, FIFO depths, and the engines that follow from them. Never what it computes."""
