"""Train a translator: `python scripts/train.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Train, or go on, or tell what a finished run scored; then show a few translations."""
    from dragoman.training.train import train  # here, so that --help and a misspelt key need not wait for torch

    folder = Path(config["run_dir"])
    scores = train(config, folder / config["sweep"] if config["sweep"] else folder)
    print(scores)


if __name__ == "__main__":
    entry(main, config_name="train")
