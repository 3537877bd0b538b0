"""Right translations against wrong ones: `python scripts/contrast.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Accuracy by phenomenon."""
    from dragoman.evaluation.contrastive import contrast_run  # here: --help need not wait for torch

    for accuracy in contrast_run(
        config["run"],
        pairs=config["pairs"],
        size=config["size"],
        output=Path(config["output"]) if config["output"] is not None else None,
        device=config["device"],
        batch_tokens=config["batch_tokens"],
    ):
        print(accuracy)


if __name__ == "__main__":
    entry(main, config_name="contrast", literal=("pairs",))
