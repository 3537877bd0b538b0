"""What a beam's width and its length penalty do to a finished run, on its validation text.

python studies/beams.py checkpoints/NAME --source DATA/val.en --reference DATA/val.de
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from dragoman.evaluation.scores import bleu
from dragoman.run import Run, build_search
from dragoman.text.lines import read_parallel
from dragoman.translator import Translator
from study import begin, machine, markdown, recorded, report

WIDTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
PENALTIES = (0.0, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0)  # with the run's own width


def searches(own: dict[str, Any]) -> list[dict[str, Any]]:
    """Every width with the run's own penalty, every other penalty with its own width."""
    penalties = [penalty for penalty in PENALTIES if penalty != own["length_penalty"]]
    return [own | {"beam": width} for width in WIDTHS] + [own | {"length_penalty": one} for one in penalties]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--source", required=True, type=Path, help="validation text")
    parser.add_argument("--reference", required=True, type=Path, help="its translation")
    options = parser.parse_args()
    run = Run(options.run)
    if "length_penalty" not in run.config["search"]:
        sys.exit(f"{options.run} does not search with a beam: its `search` has no `length_penalty`.")
    source, reference = map(list, zip(*read_parallel(options.source, options.reference), strict=True))
    translator = Translator.load(options.run)
    words = sum(len(line.split()) for line in reference)
    rows = []
    for settings in searches(run.config["search"]):
        translator.search = build_search(settings)
        began = time.perf_counter()
        found = translator(source)
        seconds = time.perf_counter() - began
        varied = {"beam": settings["beam"], "length penalty": settings["length_penalty"]}
        written = round(sum(len(line.split()) for line in found) / words, 3)
        cost = {"words, of the reference's": written, "seconds": round(seconds)}
        rows.append(varied | {"BLEU": round(bleu(found, reference), 2)} | cost)
    name = f"{run.config['name']}, seed {run.config['seed']}"
    text = f"{name}, on {options.source.name}, {len(source):,} sentences.\n\n"
    table = markdown(list(rows[0]), [list(row.values()) for row in rows])
    report("beams", text + table, recorded("beams") | {name: {"machine": machine(), "searches": rows}})


if __name__ == "__main__":
    begin(main)
