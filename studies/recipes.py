"""What finished runs cost and score, as a Markdown table, and their translations of sentences drawn by lot.

    python scripts/evaluate.py run=checkpoints/NAME source=DATA/val.en reference=DATA/val.de moses=de
    python studies/recipes.py checkpoints/NAME … --validation val.en

Reads what training and `scripts/evaluate.py` left in the folders; translates nothing.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sacrebleu import sentence_chrf

from dragoman.evaluation.evaluate import HYPOTHESES, REFERENCE, SOURCE
from dragoman.run import SCORES, Run, differences, identity, scores_in
from dragoman.text.lines import read_lines
from study import begin, cost, markdown, spread

OF_A_RUN = {"seed", "corpus.test", "corpus.synthetic"}  # may differ within a recipe: each seed has its own teachers
HEADER = ("run", "parameters", "steps", "minutes", "peak GiB", "commit", "machine")


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Name → value, interval and signature."""
    return {one["name"]: one for one in scores_in(folder / SCORES)["scores"]}


def shared(runs: Sequence[dict[str, dict[str, Any]]]) -> list[str]:
    """Names of the scores that every run has: one may have been scored without `moses`."""
    return [name for name in runs[0] if all(name in run for run in runs)]


def with_interval(score: dict[str, Any]) -> str:
    """42.00 [40.00, 44.00]."""
    return f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


def one_recipe(folders: Sequence[Path]) -> bool:
    """Whether the runs differ in nothing but their seed, and what goes with it."""
    first, *others = (identity(Run(folder).config) for folder in folders)
    return all(differences(first, other).keys() <= OF_A_RUN for other in others)


def cost_cells(folder: Path) -> list[str]:
    """Parameters, steps, minutes, memory, commit, machine."""
    parameters = sum(one.numel() for one in Run(folder).model().parameters())
    took = cost(folder)
    measured = (f"{took['steps']:,}", str(took["minutes"]), f"{took['peak GiB']:.2f}", took["commit"], took["machine"])
    return [f"{parameters / 1e6:.1f} M", *measured]


def samples(folders: Sequence[Path], count: int, seed: int) -> str:
    """Source, reference and each run's translation of sentences drawn by lot, with their chrF."""
    sources, references = (list(read_lines(folders[0] / name)) for name in (SOURCE, REFERENCE))
    translations = [list(read_lines(folder / HYPOTHESES)) for folder in folders]
    rows = []
    for line in sorted(random.Random(seed).sample(range(len(sources)), count)):
        row = [str(line + 1), sources[line], references[line]]
        for lines in translations:
            row += [lines[line], f"{sentence_chrf(lines[line], [references[line]]).score:.0f}"]
        rows.append(row)
    header = ["line", "source", "reference"]
    for folder in folders:
        header += [folder.name, "chrF"]
    return markdown(header, rows)


def table(folders: Sequence[Path], validation: str | None) -> str:
    """A row for each run, and the mean ± sd where they are of one recipe; scores that every run has."""
    splits = {"validation": validation, "test": "."} if validation else {"test": "."}
    found = {split: [scores(folder / part) for folder in folders] for split, part in splits.items()}
    columns = [(split, score) for split, runs in found.items() for score in shared(runs)]
    rows = [
        [folder.name, *cost_cells(folder), *(with_interval(found[split][run][score]) for split, score in columns)]
        for run, folder in enumerate(folders)
    ]
    if len(folders) > 1 and one_recipe(folders):
        means = [spread((one[score]["value"] for one in found[split]), 2) for split, score in columns]
        rows.append(["mean ± sd", *[""] * (len(HEADER) - 1), *means])
    signatures = {f"{score}: `{found[split][0][score]['signature']}`" for split, score in columns}
    header = [*HEADER, *(f"{score}, {split}" for split, score in columns)]
    return markdown(header, rows) + "\n" + "; ".join(sorted(signatures)) + ".\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs, scored on the same test set")
    parser.add_argument("--validation", help="the folder that evaluate.py wrote of the validation set, in each run")
    parser.add_argument("--samples", type=int, default=20, help="how many translations are shown")
    parser.add_argument("--seed", type=int, default=1, help="of the lot")
    options = parser.parse_args()
    print(table(options.runs, options.validation))
    print(samples(options.runs, options.samples, options.seed))


if __name__ == "__main__":
    begin(main)
