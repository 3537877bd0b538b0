"""The report as text: tables on a terminal, the same lines without colours in a pipe."""

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dragoman.doctor.tally import Report, printable, shortened

WIDEST = 100  # characters of a text that is shown
OF_A_RULE = 3  # examples
PIPED = 200  # columns where there is no terminal


def show(report: Report) -> None:
    """To standard output."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPED)
    with console.capture() as captured:  # rich itself would end the program where a reader leaves
        for part in (counts(report), "", findings(report)):
            console.print(part)
        for line in (*examples(report), *told(report)):
            console.print(Text(line), soft_wrap=True)
    print(captured.get(), end="")


def table(*headers: str) -> Table:
    """Without a frame: what is copied from it is text."""
    made = Table(box=None, pad_edge=False)
    for number, header in enumerate(headers):
        made.add_column(header, justify="right" if number > 1 else "left", no_wrap=True)
    return made


def counts(report: Report) -> Any:
    """A line for each side of each split; lengths in tokens where there is a tokenizer, else in words."""
    made = table("split", "side", "pairs", "words", "tokens", "median", "95 %", "longest")
    for name, split in report.splits.items():
        for side, one in split.sides.items():
            sizes = (one.quantile(0.5), one.quantile(0.95), one.quantile(1))
            cells = [split.pairs, one.words, "-" if one.tokens is None else one.tokens, *sizes]
            made.add_row(name, f"{side} ({visible(report.languages[side])})", *map(number, cells))
    return made


def findings(report: Report) -> Any:
    """A line for each rule."""
    made = table("rule", *report.splits, "share of train")
    made.columns[1].justify = "right"
    for law in report.laws:
        found = [split.findings[law].count for split in report.splits.values()]
        made.add_row(law, *map(number, found), share(found[0], report.splits["train"].pairs))
    sound = [split.sound for split in report.splits.values()]
    made.add_row("none of these", *map(number, sound), share(sound[0], report.splits["train"].pairs))
    return made


def examples(report: Report) -> Iterator[str]:
    """A few of each finding."""
    for law, sentence in report.laws.items():
        shown = [one for split in report.splits.values() for one in split.findings[law].examples[:OF_A_RULE]]
        if shown:
            yield f"\n{law}: {sentence}"
        for one in shown:
            yield f"  {visible(one.origin)}  {visible(one.reason)}"
            yield f"    {visible(one.source)}  |||  {visible(one.target)}"


def told(report: Report) -> Iterator[str]:
    """Of the vocabulary, and what could not be examined."""
    yield ""
    yield from report.unread()
    for side, pieces in report.pieces.items():
        yield (
            f"The {side} tokenizer has {pieces:,} pieces; the training split holds {report.pieces_in_use[side]:,} of"
            " them."
        )
        for name, split in report.splits.items():
            one = split.sides[side]
            yield (
                f"  {name}: {number(one.unknown)} tokens unknown or spelt in bytes ({share(one.unknown, one.tokens)}),"
                f" {number(one.unseen)} not in training ({share(one.unseen, one.tokens)})"
            )
    yield from report.notes


def number(value: int | str | None) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(part: int | None, whole: int | None) -> str:
    """In per cent; of nothing, nothing."""
    return f"{100 * (part or 0) / whole:.2f} %" if whole else "-"


def visible(text: str) -> str:
    """A text, as a terminal may show it."""
    return printable(shortened(text, WIDEST))
