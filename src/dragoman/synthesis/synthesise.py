"""A monolingual file → a corpus, in portions: larger than memory, resumable, filtered."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.build import build
from dragoman.console import watched
from dragoman.errors import InputError
from dragoman.exported import digest, opened
from dragoman.files import locked
from dragoman.run import build_search
from dragoman.synthesis.output import Output, Record
from dragoman.synthesis.quality import Filter, mean_log_probability
from dragoman.text.lines import read_lines
from dragoman.translator import Translation, Translator, check_positive

log = logging.getLogger("dragoman")

# (given text, its translation) → (source, target) of the pair that is to be learnt from.
SIDES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "back_translation": lambda given, found: (found, given),  # Sennrich et al. 2016: real text on the target side
    "distillation": lambda given, found: (given, found),  # Kim and Rush 2016, section 3.2: the teacher's text there
}


class Judged(NamedTuple):
    """A given line, its translation, and why that is rejected if it is."""

    given: str
    found: Translation
    reason: str | None


def synthesise(
    run: str | Sequence[str],
    *,
    source: str,
    output: Path,
    made_as: str,
    tag: str | None,
    quality: dict[str, Any],
    search: dict[str, Any] | None,
    device: str,
    precision: str,
    batch_tokens: int,
    chunk: int,
) -> Record:
    """Translate the lines of `source` with a run, or an ensemble of several, into a table of pairs.

    Goes on where an earlier start with the same settings was stopped; one that is finished is only told again.
    `tag` comes before the source side (Caswell et al. 2019). InputError for whatever the user can mend.
    """
    check_positive("chunk", chunk)
    check_choices(made_as, tag)
    bar = build(quality, path="filter")
    if not isinstance(bar, Filter):
        raise InputError("`filter` must stay; `filter.KEY=null` lifts one of its bounds.")
    chosen = build_search(search) if search else None
    translator = Translator.load(run, search=chosen, device=device, precision=precision, batch_tokens=batch_tokens)
    folders = [run] if isinstance(run, str) else list(run)
    settings = {
        "run": [digest(opened(folder).weights) for folder in folders],
        "source": digest(Path(source)),
        "as": made_as,
        "tag": tag,
        "filter": quality,
        "precision": precision,
        "search": search or opened(folders[0]).config["search"],
    }
    other = f"Another process writes {output}: let it end, or choose another `output`."
    with locked(output.with_name(f".{output.name}.lock"), other):
        out = Output(output, settings)
        if out.record.finished:
            log.info("%s is finished", output)
            return out.record
        total = sum(1 for _ in read_lines(source))  # a line that cannot be read is told before hours are spent
        if not total:
            raise InputError(f"{source} is empty: there is nothing to translate.")
        done = out.record.lines
        if done:
            log.info("going on behind line %s of %s", f"{done:,}", f"{total:,}")
        out.begin()
        left = islice(read_lines(source), done, None)
        judged = watched(judge(translator, bar, left, done, chunk), "translating", total - done)
        while portion := list(islice(judged, chunk)):
            write(out, portion, made_as, tag)
        out.finish()
        return out.record


def check_choices(made_as: str, tag: str | None) -> None:
    if made_as not in SIDES:
        raise InputError(f"`as` ({made_as}) must be {' or '.join(SIDES)}.")
    if tag is not None and (not isinstance(tag, str) or tag.split() != [tag]):
        raise InputError(f"`tag` ({tag!r}) must be one word, or null.")


def judge(translator: Translator, bar: Filter, lines: Iterator[str], done: int, chunk: int) -> Iterator[Judged]:
    """Each line with its best translation, as they come."""
    for portion in iter(lambda: list(islice(lines, chunk)), []):
        found = translator.translate(portion, chunk=chunk, before=done)
        tokens = [len(ids) + 1 for ids in translator.tokenizers.source.encode_all(portion)]
        for given, (best, *_), count in zip(portion, found, tokens, strict=True):
            yield Judged(given, best, bar.reason(given, best, count))
        done += len(portion)


def write(out: Output, portion: list[Judged], made_as: str, tag: str | None) -> None:
    """Pairs to one file; reason, score, given text and translation of the others to the other."""
    kept, rejected = [], []
    for given, found, reason in portion:
        sides = cell(given), cell(found.text)
        if reason is None:
            source, target = SIDES[made_as](*sides)
            kept.append(f"{source if tag is None else f'{tag} {source}'}\t{target}")
        else:
            rejected.append("\t".join((reason, f"{mean_log_probability(found):.4f}", *sides)))
    out.add(kept, rejected, Counter(one.reason for one in portion if one.reason is not None))


def cell(text: str) -> str:
    """A tab would end it, and at the end of a line a carriage return would."""
    return text.replace("\t", " ").strip()
