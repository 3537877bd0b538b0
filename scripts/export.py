"""Write a run for another engine: `python scripts/export.py --help`."""

import logging
from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Export, translate the test set with both engines, print how they compare."""
    from dragoman.export.compare import table  # here: --help need not wait for torch
    from dragoman.export.export import export_run

    folder, rows = export_run(
        config["run"],
        to=config["to"],
        quantization=config["quantization"],
        output=Path(config["output"]) if config["output"] is not None else None,
        source=config["source"],
        reference=config["reference"],
        sentences=config["sentences"],
        search=config.get("search"),
        device=config["device"],
        batch_tokens=config["batch_tokens"],
    )
    print(*table(rows), sep="\n")
    logging.getLogger("dragoman").info("exported to %s", folder)


if __name__ == "__main__":
    entry(main, config_name="export")
