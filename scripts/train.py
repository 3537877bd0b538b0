"""Train a translator: `python scripts/train.py --help`."""

from pathlib import Path
from typing import Any

from dragoman.errors import InputError
from entry import entry


def main(config: dict[str, Any]) -> None:
    """Train, or go on, or tell what a finished run scored; then show a few translations."""
    from dragoman.training.train import show_examples, train  # here: --help need not wait for torch

    for key in ("name", "run_dir"):
        if not config[key].strip():
            raise InputError(f"`{key}` is empty, but the run needs a folder of its own.")
    folder = Path(config["run_dir"])
    if config["sweep"]:
        folder /= config["sweep"]
    scores = train(config, folder)
    if not scores:
        return  # one of several processes, and not the first
    for score in scores:
        print(score)
    for source, translation in show_examples(folder, config["examples"]):
        print(f"\n{source}\n  → {translation}")


if __name__ == "__main__":
    entry(main, config_name="train")
