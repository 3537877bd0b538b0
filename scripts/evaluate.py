"""Score a run: `python scripts/evaluate.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Translate a test set, write what was translated and the scores, print the scores, also by length."""
    from dragoman.evaluation.evaluate import evaluate_run  # here: --help need not wait for torch
    from dragoman.evaluation.lengths import table

    scores, buckets = evaluate_run(
        config["run"],
        source=config["source"],
        reference=config["reference"],
        output=Path(config["output"]) if config["output"] is not None else None,
        search=config.get("search"),
        device=config["device"],
        precision=config["precision"],
        batch_tokens=config["batch_tokens"],
        moses=config["moses"],
    )
    print(*scores, "", *table(buckets), sep="\n")


if __name__ == "__main__":
    entry(main, config_name="evaluate")
