"""Draws one column of the benchmarks' tables as bars, a panel for each, so that pictures show what is printed.

    python benchmarks/train.py --size small --folder DATA > small.txt
    python benchmarks/bars.py "target tokens/s" docs/training-speed.svg small.txt
    python benchmarks/bars.py sentences/s docs/translating-speed.svg small.txt --only "beam 4"

What stands in a cell behind its first number, quartiles for one, is not drawn.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NUMBER = re.compile(r"[\d,]*\.?\d+")
OURS, OTHERS = "#3b6ea5", "#b9c3cf"


class Bar(NamedTuple):
    name: str
    value: float


def bars(path: Path, column: str, only: str | None) -> list[Bar]:
    """A row of the file's Markdown table each; with `only`, those that have it as a cell."""
    rows = list(cells(path))
    if not rows or column not in rows[0]:
        sys.exit(f'{path} holds no table with a column "{column}".')
    place = rows[0].index(column)
    return [
        Bar(row[0], float(found[0].replace(",", "")))
        for row in rows[2:]
        if (only is None or only in row) and (found := NUMBER.search(row[place]))
    ]


def cells(path: Path) -> Iterator[list[str]]:
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def draw(panel: Axes, title: str, found: list[Bar], column: str) -> None:
    """The first row on top, its name beside each bar and its number behind."""
    found = found[::-1]
    colours = [OURS if bar.name.startswith("Dragoman") else OTHERS for bar in found]
    drawn = panel.barh([bar.name for bar in found], [bar.value for bar in found], color=colours)
    panel.bar_label(drawn, labels=[f"{bar.value:,.0f}" for bar in found], padding=3)
    panel.set(title=title, xlabel=column)
    panel.margins(x=0.18)
    panel.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("column", help="its heading")
    parser.add_argument("picture", help="where to draw it, .svg or .png")
    parser.add_argument("tables", type=Path, nargs="+", help="what a benchmark printed; its stem is the panel's title")
    parser.add_argument("--only", help="rows that have this cell")
    options = parser.parse_args()
    rcParams["svg.hashsalt"] = "dragoman"
    figure = Figure(figsize=(7, 2.4 * len(options.tables)), layout="constrained")
    panels = figure.subplots(len(options.tables), 1, squeeze=False)
    for panel, table in zip(panels[:, 0], options.tables, strict=True):
        draw(panel, table.stem, bars(table, options.column, options.only), options.column)
    figure.savefig(options.picture, metadata={"Date": None} if options.picture.endswith("svg") else None)


if __name__ == "__main__":
    main()
