"""Draw what a run attends to: `python scripts/attend.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Pictures of encoder, decoder and cross-attention for one sentence."""
    from dragoman.evaluation.heatmaps import attend  # here: --help need not wait for torch

    for line in attend(
        config["run"],
        text=config["text"],
        translation=config["translation"],
        place=config["place"],
        layer=config["layer"],
        head=config["head"],
        whole_words=config["words"],
        form=config["format"],
        output=Path(config["output"]) if config["output"] is not None else None,
    ):
        print(line)


if __name__ == "__main__":
    entry(main, config_name="attend", literal=("translation",))
