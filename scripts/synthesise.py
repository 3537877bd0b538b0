"""Make parallel text from text of one language: `python scripts/synthesise.py --help`."""

from pathlib import Path
from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Translate, filter, write; tell how much there is."""
    from dragoman.synthesis.synthesise import synthesise  # here: --help need not wait for torch

    record = synthesise(
        config["run"],
        source=config["source"],
        output=Path(config["output"]),
        made_as=config["as"],
        tag=config["tag"],
        quality=config["filter"],
        search=config.get("search"),
        device=config["device"],
        precision=config["precision"],
        batch_tokens=config["batch_tokens"],
        chunk=config["chunk"],
    )
    print(record)


if __name__ == "__main__":
    entry(main, config_name="synthesise")
