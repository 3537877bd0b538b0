"""Translate lines: `python scripts/translate.py --help`."""

from typing import Any

from entry import entry


def main(config: dict[str, Any]) -> None:
    """Lines in, translations out, as they come."""
    from dragoman.console import (  # here: --help need not wait for torch
        at_prompt,
        input_lines,
        print_lines,
        render,
        watched,
    )
    from dragoman.run import build_search
    from dragoman.text.lines import write_lines
    from dragoman.translator import Translator

    translator = Translator.load(
        config["run"],
        search=build_search(config["search"]) if config.get("search") else None,
        device=config["device"],
        precision=config["precision"],
        batch_tokens=config["batch_tokens"],
        aligned=config["alignment"],
    )
    given = config["text"], config["source"]
    found = translator.translate(input_lines(*given), chunk=1 if at_prompt(*given) else config["chunk"])
    rendered = render(found, nbest=translator.search.nbest > 1, aligned=config["alignment"])
    if config["target"] is None:
        print_lines(rendered)
    else:
        write_lines(config["target"], watched(rendered, "translating"))


if __name__ == "__main__":
    entry(main, config_name="translate")
