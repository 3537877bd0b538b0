"""How probable a run finds given translations: `python scripts/score.py --help`."""

from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """A natural log-probability for each line."""
    from dragoman.evaluation.forced import score_files  # here: --help need not wait for torch

    for value in score_files(
        config["run"],
        source=config["source"],
        reference=config["reference"],
        device=config["device"],
        batch_tokens=config["batch_tokens"],
    ):
        print(f"{value:.4f}")


if __name__ == "__main__":
    entry(main, config_name="score")
