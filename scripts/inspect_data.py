"""What is wrong with a corpus, before anybody trains on it: `python scripts/inspect_data.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Examine, write report.html and report.json, print the same."""
    from dragoman.console import watched
    from dragoman.doctor.consultation import PAGE, consult, write  # here: --help need not wait for datasets
    from dragoman.doctor.terminal import show

    report = consult(config, watched)
    folder = Path(config["output"])
    write(report, folder)
    show(report)
    print(f"\nEvery example: {folder / PAGE}")


if __name__ == "__main__":
    entry(main, config_name="inspect_data")
