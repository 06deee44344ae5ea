"""The same network, dense and shape-pruned, through stock hls4ml and through ours: what the hardware is, how fast the C++ is.

The network is resnet8 for CIFAR-10 with random 8-bit weights: neither the hardware nor the speed depends on training. The
pruned one keeps the same few positions of every 3x3 kernel, the first convolution and the shortcuts excepted. Stock hls4ml
gets exactly the same integers and types, as its own Conv2D with zeros where positions are gone.

Computed from the generated project: multipliers, weight bits, line buffer bits, cycles. Measured, in processor time: seconds
of hls4ml's ``compile()``, images per second of its ``predict()``, outputs that differ from the integer network; and the same
of the design that ``emit --target vivado`` writes under the same folds, which g++ compiles without hls4ml.

    python -m benchmarks.hls4ml_compare                      everything, some minutes; writes reports/hls4ml/
    python -m benchmarks.hls4ml_compare --no-measure         only what is computed
    python -m benchmarks.hls4ml_compare --keep-table         measure the times again, leave the table as it was written

    network.py    the two networks
    ways.py       what is compared, at which folds; stock hls4ml's layers of the same integers
    hardware.py   multipliers, weights, line buffers and cycles of a generated project
    timing.py     compiling and simulating, in processor time
    report.py     the tables
"""
