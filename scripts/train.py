"""Train a translator: `python scripts/train.py --help`."""

from pathlib import Path
from typing import Any

from dragoman.errors import InputError
from entry import Outcome, entry


def main(config: dict[str, Any]) -> object:
    """Train, or go on, or tell what a finished run scored; then show a few translations. Returns the scores."""
    from dragoman.training.train import show_examples, train  # here: --help need not wait for torch

    for key in ("name", "run_dir"):
        if not config[key].strip():
            raise InputError(f"`{key}` is empty, but the run needs a folder of its own.")
    folder = Path(config["run_dir"])
    if config["sweep"]:
        folder /= config["sweep"]
    scores = train(config, folder)
    if config["sweep"] and scores:
        print(f"\n{config['sweep']}")
    for score in scores:
        print(score)
    examples = show_examples(folder, config["examples"]) if scores else []  # none: not the first of several processes
    for source, translation in examples:
        print(f"\n{source}\n  → {translation}")
    return scores


def conclude(outcomes: list[Outcome]) -> None:
    """A sweep's results, printed and kept in the folder that its runs share."""
    from dragoman.evaluation.sweeps import Sweep, SweptRun
    from dragoman.training.processes import is_first

    if not is_first():
        return
    sweep = Sweep([SweptRun(job.swept, scores, error) for job, scores, error, _ in outcomes])
    print("", *sweep.table(), sep="\n")
    for folder in dict.fromkeys(outcome.job.config["run_dir"] for outcome in outcomes):
        sweep.write(Path(folder))


if __name__ == "__main__":
    entry(main, config_name="train", conclude=conclude)
