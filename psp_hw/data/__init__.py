"""The data sets and their loaders: numpy and files only. This file stays free of numpy."""
