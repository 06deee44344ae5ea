"""The rows of PSP's tables on CIFAR-10: train what there is time for, side by side on one GPU, and write the table.

    python -m benchmarks.paper_rows --data-dir DIR --minutes 9 [--side 6] [--epochs 300] [--rows ROW ...] [--accelerator cuda]

Each row is a run of its own below --runs, trained by ``psp-hw train --floats-only --resume`` (Brevitas need not be installed) from the
recipe in models/. When the minutes are over, what still trains is stopped with its checkpoint, and the same command goes on with
it. reports/paper/ gets a table with the figures of the paper beside ours, where they are known; rows that were cut or never
begun are listed as such. A trial (--net, --data, --steps) is none of the paper: its table lies in --runs.

Small networks share a GPU well: --side of them at a time, over all GPUs that are visible. On a GPU steps are compiled to CUDA graphs, as
far as torch.compile works there (a small function is tried first); --no-compile leaves it. The exit code is 1 where a row failed.

    rows.py        the rows, with what the paper prints; the spec of each
    outcomes.py    what became of a row
    trainings.py   processes side by side, within a budget of time
    gpus.py        which GPUs there are, and whether steps can be compiled on them
    table.py       the report
"""
