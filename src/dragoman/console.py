"""Lines in and lines out, as a command line wants them: text, file, pipe or prompt; plain, n-best or aligned."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from dragoman.errors import InputError
from dragoman.text.lines import decode_lines, read_lines
from dragoman.translator import Translation

Item = TypeVar("Item")


def at_prompt(text: str | None, source: str | None) -> bool:
    """Whether the lines are typed at a prompt, one at a time."""
    return text is None and source is None and sys.stdin is not None and sys.stdin.isatty()


def input_lines(text: str | None, source: str | None) -> Iterator[str]:
    """The one line `text`, else the lines of the file `source`, else of standard input, by a prompt if need be."""
    if text is not None:
        return iter([text])
    if source is not None:
        return read_lines(source)
    if sys.stdin is None:
        raise InputError("Standard input is closed: give `text=` or `source=`.")
    return prompted() if at_prompt(text, source) else decode_lines(sys.stdin.buffer, "standard input")


def prompted() -> Iterator[str]:
    """What is typed, line by line, until the end of input."""
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            return
        yield line.rstrip("\n")


def render(translations: Iterable[list[Translation]], *, nbest: bool, aligned: bool) -> Iterator[str]:
    """One line per source line; with `nbest` one per translation: number ||| text ||| score. Alignments come last."""
    for number, found in enumerate(translations):
        for one in found if nbest else found[:1]:
            fields = [str(number), one.text, f"{one.score:.4f}"] if nbest else [one.text]
            if aligned:
                fields.append(" ".join(f"{source}-{target}" for source, target in one.alignment))
            yield " ||| ".join(fields)


def print_lines(lines: Iterable[str]) -> None:
    """To standard output in UTF-8, whatever the locale, each as soon as it is there."""
    for line in lines:
        sys.stdout.buffer.write(line.encode("utf-8") + b"\n")
        sys.stdout.buffer.flush()


def watched(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The same items, with a progress bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, total=total, console=Console(stderr=True), transient=True)
