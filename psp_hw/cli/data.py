"""``psp-hw data``: the data sets that are known; fetches and checks one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psp_hw.cli import console
from psp_hw.cli.options import DataDir, Json


def command(
    name: Annotated[
        str | None, typer.Argument(help="Fetch this data set and check its files.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the data sets; fetch and check one."""
    from psp_hw.data.registry import DATA_SETS, DEFAULT_DATA_DIR, IMAGENET, data_info

    folder = data_dir or DEFAULT_DATA_DIR
    if name is not None:
        _fetch(data_info(name).name, folder, as_json)
        return
    if as_json:
        sets = [
            {
                "name": info.name,
                "summary": info.summary,
                "image": list(info.image),
                "classes": list(info.classes),
                "train": info.train,
                "test": info.test,
                "ships": info.ships,
            }
            for info in DATA_SETS.values()
        ]
        console.show_json({"data": sets})
        return
    fetched = {info.name: "nothing to fetch" for info in DATA_SETS.values() if info.ships}
    fetched[IMAGENET] = "your own, in --data-dir"
    rows = [
        (
            info.name,
            info.summary,
            fetched.get(info.name, f"psp-hw data {info.name}"),
            "x".join(map(str, info.image)),
            f"{info.train:,}",
            f"{info.test:,}",
        )
        for info in DATA_SETS.values()
    ]
    head = ("Data set", "What", "Fetch", "Image", "Train", "Test")
    console.show_table(head, rows, text_columns=3)


def _fetch(name: str, folder: Path, as_json: bool) -> None:
    """Fetch, check by reading both splits, say what there is."""
    from psp_hw.data import registry
    from psp_hw.data.fetch import fetch_cifar10

    with console.Steps(quiet=as_json) as steps, console.stdout_for_json(as_json):
        place = None
        if name == registry.IMAGENET:
            place = folder
        elif not registry.data_info(name).ships:
            place = fetch_cifar10(
                folder, progress=lambda done, total: steps.step(f"fetching {name}", done, total)
            )
        counts = {split: len(registry.load(name, folder, split)) for split in ("train", "test")}
    if as_json:
        console.show_json({"name": name, "folder": place, **counts})
        return
    published = "" if name == registry.IMAGENET else ", every file as published"
    where = "comes with scikit-learn" if place is None else f"is in {place}{published}"
    console.show(f"{name} {where}: {counts['train']:,} training and {counts['test']:,} test images")
