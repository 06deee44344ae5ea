"""Train CNNs with Parameterized Structured Pruning and generate FPGA designs of the surviving taps only."""

__version__ = "0.1.0"
