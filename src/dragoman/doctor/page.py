"""The report as one HTML file that needs no other: tables, the lengths as a picture, every example."""

import io
import re
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from dragoman.doctor.tally import Report, printable, shortened
from dragoman.doctor.terminal import number, share

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, p, .examples { overflow-wrap: anywhere; } h2 + div td:nth-child(2) { min-width: 14rem; }
div { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; } tr { border-bottom: 1px solid #ddd; }
td:first-child { white-space: nowrap; } .examples td:first-child { white-space: normal; width: 24%; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.examples { table-layout: fixed; width: 100%; min-width: 36rem; }
.origin { color: #666; font-size: .85rem; } details { margin: .6rem 0; } svg { max-width: 100%; height: auto; }
"""
WIDEST = 400  # characters of a text that is shown
SHOWN = 0.995  # of the sentences are in the picture; a few have no end


def page(report: Report) -> str:
    """The whole file. Whatever came from the corpus is escaped."""
    languages = " → ".join(report.languages.values())
    title = escape(f"{languages}: {', '.join(part for part in (report.corpus, report.day) if part)}")
    train = report.splits["train"]
    body = [
        f"<h1>Corpus {title}</h1>",
        f"<p>{number(train.pairs)} training pairs; {number(train.sound)} of them ({share(train.sound, train.pairs)})"
        " pass every rule below.</p>",
        *(f"<p><strong>{worded(note)}</strong></p>" for note in (*report.unread(), *report.notes)),
        counts(report),
        picture(report),
        findings(report),
        "<h2>Examples</h2>",
        *(details(report, law) for law in report.laws),
    ]
    head = f"{HEAD}<title>{title}</title><style>{STYLE}</style>"
    return f"{head}<body>{''.join(body)}</body></html>\n"


def counts(report: Report) -> str:
    """Sizes and lengths, and what the tokenizer makes of them."""
    unit = "tokens" if report.pieces else "words"
    header = ["split", "side", "pairs", "words", "characters", "tokens", "unknown or bytes", "not in training"]
    rows = [
        [
            *(name, f"{side} ({report.languages[side]})", number(split.pairs), number(one.words)),
            *(number(one.characters), *(share_of(part, one.tokens) for part in (one.tokens, one.unknown, one.unseen))),
            *(number(one.quantile(part)) for part in (0.5, 0.95, 1)),
        ]
        for name, split in report.splits.items()
        for side, one in split.sides.items()
    ]
    used = [
        f"<p>The {side} tokenizer has {number(pieces)} pieces; the training split holds"
        f" {number(report.pieces_in_use[side])} of them.</p>"
        for side, pieces in report.pieces.items()
    ]
    return table([*header, f"median {unit}", "95 %", "longest"], rows, words=2) + "".join(used)


def share_of(part: int | None, whole: int | None) -> str:
    """A number and, where it is not the whole, its share."""
    return "-" if part is None else number(part) if part == whole else f"{number(part)} ({share(part, whole)})"


def findings(report: Report) -> str:
    """How many pairs each rule objects to, in every split."""
    rows = [
        [law, sentence, *(share_of(split.findings[law].count, split.pairs) for split in report.splits.values())]
        for law, sentence in report.laws.items()
    ]
    sound = ["none of these", "", *(share_of(split.sound, split.pairs) for split in report.splits.values())]
    return "<h2>Findings</h2>" + table(["rule", "objects to", *report.splits], [*rows, sound], words=2)


def details(report: Report, law: str) -> str:
    """The examples of one rule, folded."""
    rows = [
        f"<tr><td><span class=origin>{shown(one.origin)}</span><br>{shown(one.reason)}</td>"
        f"<td>{shown(one.source)}</td><td>{shown(one.target)}</td></tr>"
        for split in report.splits.values()
        for one in split.findings[law].examples
    ]
    if not rows:
        return ""
    total = sum(split.findings[law].count for split in report.splits.values())
    return (
        f"<details><summary>{escape(law)}: {len(rows)} of {number(total)}</summary>"
        f"<div><table class=examples>{''.join(rows)}</table></div></details>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """The first columns hold words, the others numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        marked = [
            f"<{tag}{' class=n' if place >= words else ''}>{worded(cell)}</{tag}>" for place, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(marked)}</tr>"

    return f"<div><table>{line(header, 'th')}{''.join(line(row, 'td') for row in rows)}</table></div>"


def shown(text: str) -> str:
    """Escaped and not too long, with characters that nobody sees spelt out."""
    return escape(printable(shortened(text, WIDEST)))


def worded(text: str) -> str:
    """Escaped; what stands in backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def picture(report: Report) -> str:
    """The lengths of both sides of the training split, as SVG."""
    from matplotlib.figure import Figure  # here: it takes a second

    unit = "tokens" if report.pieces else "words"
    sides = report.splits["train"].sides
    longest = max(1, *(side.quantile(SHOWN) for side in sides.values()))
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for name, side in sides.items():
        heights = np.array([side.lengths.get(length, 0) for length in range(longest + 1)])
        axes.stairs(heights, np.arange(longest + 2) - 0.5, linewidth=1.5, label=f"{name} ({report.languages[name]})")
    axes.set(xlabel=f"{unit} of a sentence", ylabel="sentences of the training split", xlim=(-0.5, longest + 0.5))
    axes.legend(frameon=False)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue().partition("<svg")[1] + drawn.getvalue().partition("<svg")[2]
