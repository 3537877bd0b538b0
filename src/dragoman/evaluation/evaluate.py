"""Translate a test set, score it, and leave everything beside each other so that anybody can do it again."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.console import watched
from dragoman.errors import InputError
from dragoman.evaluation.lengths import Bucket, by_length, plot
from dragoman.evaluation.moses import moses_bleu
from dragoman.evaluation.scores import Score, score
from dragoman.exported import Exported, opened
from dragoman.files import write_json, write_text
from dragoman.run import SCORES, Run, build_search, scores_in, target_language
from dragoman.text.lines import read_parallel
from dragoman.translator import Translator

HYPOTHESES, REFERENCE, SOURCE, LENGTHS = "hypotheses.txt", "reference.txt", "source.txt", "lengths.png"


def evaluate_run(
    run: str | Sequence[str],
    *,
    source: str | None,
    reference: str | None,
    output: Path | None,
    search: dict[str, Any] | None,
    device: str,
    precision: str,
    batch_tokens: int,
    moses: str | None,
) -> tuple[list[Score], list[Bucket]]:
    """Score a run, or an ensemble of several, on its own test set or on two files, with its own search or another.

    The scores of all, and by the length of the source; with a language `moses`, `moses_bleu` too. Writes into `output`;
    by default the run folder for its own test set, else a folder in it with the source's name. InputError for what
    cannot be read or scored, where other scores are already in that folder, and for an ensemble without `output`.
    """
    folders = [run] if isinstance(run, str) else list(run)
    if len(folders) > 1 and output is None:
        raise InputError("Give `output=`: the scores of an ensemble belong into no run's folder.")
    folder = Path(folders[0])
    first = opened(folder)
    chosen = build_search(search) if search else None
    translator = Translator.load(run, search=chosen, device=device, precision=precision, batch_tokens=batch_tokens)
    pairs = pairs_to_score(first, source, reference)
    output = output or default_output(folder, source)
    facts = {"run": run, "source": source, "reference": reference, "search": search or first.config["search"]}
    facts |= {"precision": None if isinstance(first, Exported) else precision, "test_sentences": None}
    language = target_language(first.config)
    found = translated(translator, pairs)
    buckets = by_length(translator, found.source, found.hypotheses, found.reference, language)
    facts["by_length"] = [one._asdict() | {"bleu": one.bleu._asdict()} for one in buckets]
    further = [moses_bleu(found.hypotheses, found.reference, moses)] if moses else []
    scores = write_scored(found, output, facts, language, further)
    plot(buckets, output / LENGTHS)
    return scores, buckets


def default_output(run: Path, source: str | None) -> Path:
    """The folder for the scores of a source, None for the run's own; InputError if something else is there."""
    if source is None:
        return run
    folder = run / Path(source).name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, so it cannot hold scores: give a folder as `output=`.")
    if (folder / SCORES).exists():
        other = read_content(folder / SCORES).get("source")
        if not isinstance(other, str) or Path(other).resolve() != Path(source).resolve():
            raise InputError(f"{folder} holds the scores of {other}: give another folder as `output=`.")
    return folder


def pairs_to_score(run: Run | Exported, source: str | None, reference: str | None) -> list[tuple[str, str]]:
    """The lines of two files side by side, or the run's own test set; InputError where there are none."""
    if (source is None) != (reference is None):
        raise InputError("Give both `source=` and `reference=`, or neither for the run's own test set.")
    if source is not None and reference is not None:
        pairs = list(read_parallel(source, reference))
    else:
        split = run.corpus().split("test")
        pairs = list(zip(split["source"], split["target"], strict=True))
    if not pairs:
        raise InputError(f"{source} and {reference} are empty: there is nothing to score.")
    return pairs


def evaluate(
    translator: Translator,
    pairs: Sequence[tuple[str, str]],
    output: Path,
    facts: dict[str, Any],
    language: str | None = None,
) -> list[Score]:
    """Translates and scores, and writes both, with `facts`, into `output`; `language`: of the references."""
    return write_scored(translated(translator, pairs), output, facts, language)


class Translated(NamedTuple):
    """A test set and what a translator made of it, a line for each sentence."""

    source: list[str]
    hypotheses: list[str]
    reference: list[str]
    seconds: float


def translated(translator: Translator, pairs: Sequence[tuple[str, str]]) -> Translated:
    """The hypotheses of all pairs."""
    source, reference = ([one_line(pair[side]) for pair in pairs] for side in (0, 1))
    began = time.perf_counter()
    hypotheses = [found[0].text for found in watched(translator.translate(source), "translating", len(source))]
    return Translated(source, hypotheses, reference, time.perf_counter() - began)


def write_scored(
    found: Translated, output: Path, facts: dict[str, Any], language: str | None, further: Sequence[Score] = ()
) -> list[Score]:
    """Writes source, hypotheses and reference, then scores.json with `facts` beside all scores, into `output`."""
    scores = [*score(found.hypotheses, found.reference, language), *further]
    for name, lines in ((SOURCE, found.source), (HYPOTHESES, found.hypotheses), (REFERENCE, found.reference)):
        write_text(output / name, "".join(f"{line}\n" for line in lines))
    content = {
        "scores": [one._asdict() for one in scores],
        "sentences": len(found.source),
        "seconds": round(found.seconds, 1),
        **facts,
    }
    write_json(output / SCORES, content)
    return scores


def one_line(text: str) -> str:
    """A table's cell may hold line feeds; a line of the files that are written may not."""
    return text.replace("\n", " ")


def read_content(path: Path) -> dict[str, Any]:
    """What a scores.json holds; nothing where it holds no dictionary."""
    content = scores_in(path)
    return content if isinstance(content, dict) else {}


def read_scores(content: dict[str, Any]) -> list[Score]:
    """The scores that a scores.json holds."""
    try:
        return [Score(**one) for one in content["scores"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{SCORES} is damaged; remove it and evaluate again.") from error
