"""Memory while very many lines are translated in one process: it should be flat.

    python benchmarks/load.py checkpoints/pocket docs/load.svg

Runs scripts/translate.py on `--lines` lines, the run's own test sentences again and again, through pipes; draws its
resident memory (VmRSS, Linux) against the lines done and prints a Markdown table. Speed is not reported: another
process may have the machine too.
"""

import argparse
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from matplotlib.figure import Figure

from dragoman.text.lines import read_lines

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "translate.py"
EVERY = 1000  # lines from one look at the memory to the next
SHOWN = 10  # rows of the table


class Look(NamedTuple):
    """Resident memory once so many lines were done."""

    lines: int
    mebibytes: float


def resident(process: int) -> float:
    """MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def feed(stream: BinaryIO, lines: Iterator[str]) -> None:
    with stream:
        for line in lines:
            stream.write(f"{line}\n".encode())


def watch(run: str, count: int) -> list[Look]:
    """Looks at a translation of so many lines; each line must come back."""
    command = [sys.executable, str(SCRIPT), f"run={run}", "search=greedy", "device=cpu"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    lines = islice(cycle(read_lines(Path(run) / "source.txt")), count)
    threading.Thread(target=feed, args=(process.stdin, lines), daemon=True).start()
    looks = []
    for number, _ in enumerate(process.stdout, start=1):
        if number % EVERY == 0 or number == 1:
            looks.append(Look(number, resident(process.pid)))
    if process.wait() or number != count:
        sys.exit(f"{number} of {count} lines came back, status {process.returncode}")
    return looks


def draw(looks: list[Look], path: str) -> None:
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.plot([one.lines for one in looks], [one.mebibytes for one in looks])
    axis.set(xlabel="lines translated", ylabel="resident memory, MiB")
    axis.set_ylim(0, 1.3 * max(one.mebibytes for one in looks))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("picture", help="where to draw it, .svg or .png")
    parser.add_argument("--lines", type=int, default=100_000)
    given = parser.parse_args()
    looks = watch(given.run, given.lines)
    draw(looks, given.picture)
    print("| lines done | resident memory, MiB |\n|---|---|")
    for one in [looks[0], *looks[len(looks) // SHOWN :: max(1, len(looks) // SHOWN)]]:
        print(f"| {one.lines:,} | {one.mebibytes:.0f} |")
    later = [one.mebibytes for one in looks[1:]]
    print(f"\n{len(later)} looks, one every {EVERY:,} lines: {min(later):.0f} to {max(later):.0f} MiB")


if __name__ == "__main__":
    main()
