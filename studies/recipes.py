"""What finished runs cost and score, as a Markdown table, and translations of the first one, drawn by lot.

    python scripts/evaluate.py run=checkpoints/NAME source=DATA/val.en reference=DATA/val.de moses=de
    python studies/recipes.py checkpoints/NAME … --validation val.en

Reads what training and `scripts/evaluate.py` left in the folders; translates nothing.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sacrebleu import sentence_chrf

from dragoman.evaluation.evaluate import HYPOTHESES, REFERENCE, SOURCE
from dragoman.run import SCORES, Run
from dragoman.text.lines import read_lines
from dragoman.training.provenance import PROVENANCE
from study import markdown, peak_memory, spread

HEADER = ("run", "parameters", "steps", "minutes", "peak GiB", "commit")


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Name → value, interval and signature."""
    found = json.loads((folder / SCORES).read_text("utf-8"))
    return {one["name"]: one for one in found["scores"]}


def told(score: dict[str, Any]) -> str:
    """Value and interval."""
    return f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


def cost(folder: Path) -> list[str]:
    """Parameters, steps, minutes, memory, commit."""
    made = json.loads((folder / PROVENANCE).read_text("utf-8"))
    parameters = sum(one.numel() for one in Run(folder).model().parameters())
    peak = peak_memory(folder) / 2**30
    cells = [f"{parameters / 1e6:.1f} M", f"{made['steps']:,}", f"{made['seconds'] / 60:.0f}", f"{peak:.2f}"]
    commit, _, changed = (made["starts"][-1]["commit"] or "–").partition("-")
    return [*cells, commit[:10] + (changed and f"-{changed}")]


def machine(folder: Path) -> str:
    """Of the last start."""
    start = json.loads((folder / PROVENANCE).read_text("utf-8"))["starts"][-1]
    date, torch = start["date"].partition("T")[0], start["packages"]["torch"]
    return f"{start['processor']}, {start['threads']} threads, torch {torch}, {date}"


def samples(folder: Path, count: int, seed: int) -> str:
    """Source, reference and translation of sentences drawn by lot, with their chrF."""
    columns = [list(read_lines(folder / name)) for name in (SOURCE, REFERENCE, HYPOTHESES)]
    chosen = sorted(random.Random(seed).sample(range(len(columns[0])), count))
    rows = []
    for line in chosen:
        source, reference, hypothesis = (column[line] for column in columns)
        rows.append((line + 1, source, reference, hypothesis, f"{sentence_chrf(hypothesis, [reference]).score:.0f}"))
    return markdown(("line", "source", "reference", "translation", "chrF"), rows)


def table(folders: Sequence[Path], validation: str | None) -> str:
    """A row for each run, and the mean ± sd where there are several."""
    sets = {"validation": validation, "test": "."} if validation else {"test": "."}
    found = {name: [scores(folder / part) for folder in folders] for name, part in sets.items() if part}
    names = [(name, score) for name, runs in found.items() for score in runs[0]]
    rows = [
        [folder.name, *cost(folder), *(told(found[name][number][score]) for name, score in names)]
        for number, folder in enumerate(folders)
    ]
    if len(folders) > 1:
        means = [spread((one[score]["value"] for one in found[name]), 2) for name, score in names]
        rows.append(["mean ± sd", *[""] * (len(HEADER) - 1), *means])
    signatures = {f"{score}: `{runs[0][score]['signature']}`" for runs in found.values() for score in runs[0]}
    header = [*HEADER, *(f"{score}, {name}" for name, score in names)]
    return markdown(header, rows) + "\n" + "; ".join(sorted(signatures)) + ".\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs of one recipe")
    parser.add_argument("--validation", help="the folder that evaluate.py wrote of the validation set, in each run")
    parser.add_argument("--samples", type=int, default=20, help="how many translations are shown")
    parser.add_argument("--seed", type=int, default=1, help="of the lot")
    options = parser.parse_args()
    print(f"{machine(options.runs[0])}\n\n{table(options.runs, options.validation)}")
    print(samples(options.runs[0], options.samples, options.seed))


if __name__ == "__main__":
    main()
