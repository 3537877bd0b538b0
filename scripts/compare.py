"""Scores against each other: `python scripts/compare.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Print differences and p-values; write them if asked to."""
    from dragoman.evaluation.comparison import compare, table, write  # here: --help need not wait for torch

    folders = config["scores"]
    found = compare([folders] if isinstance(folders, str) else folders)
    if config["output"] is not None:
        write(found, Path(config["output"]))
    print(*table(found), sep="\n")


if __name__ == "__main__":
    entry(main, config_name="compare")
