"""The whole visit to the doctor: read, examine, write report.html and report.json."""

from copy import copy
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from datasets import Dataset

from dragoman.build import build
from dragoman.doctor.examine import examine, read, rules_of
from dragoman.doctor.page import page
from dragoman.doctor.tally import Report
from dragoman.doctor.vocabulary import learn
from dragoman.errors import InputError
from dragoman.files import write_json, write_text
from dragoman.run import Run
from dragoman.text.screening import Watch
from dragoman.text.tokenizer import SentencePiece, Tokenizers, TooManyPieces

PAGE, NUMBERS = "report.html", "report.json"


def consult(config: dict[str, Any], watch: Watch) -> Report:
    """Examine the corpus that `config` describes; see configs/inspect_data.yaml."""
    limit = whole_number(config, "examples", 0)
    sample = whole_number(config, "tokenizer_pairs", 0)
    corpus = build(config["corpus"], path="corpus")
    rules, notes = rules_of(config["cleaning"])
    tokenizers = Run(config["run"]).tokenizers() if config["run"] is not None else None
    settings = build(config["tokenizer"], path="tokenizer")
    splits, flawed = read(corpus)
    if tokenizers is None and sample:
        tokenizers = learnt(splits.train, settings, sample, notes)
    report = examine(splits, flawed, rules, tokenizers, limit=limit, watch=watch)
    report.languages = {side: getattr(corpus, f"{side}_language") for side in ("source", "target")}
    report.notes = notes
    report.corpus, report.day = place_of(config["corpus"]), str(date.today())
    return report


def learnt(train: Dataset, settings: SentencePiece, sample: int, notes: list[str]) -> Tokenizers | None:
    """With fewer pieces where the corpus is too small; one that cannot be learnt is no reason not to tell the rest."""
    try:
        return learn(train, settings, sample)
    except TooManyPieces as error:
        notes.append(f"The tokenizer is the largest that this corpus allows: {error}")
        smaller = copy(settings)
        smaller.vocab_size = error.most
        return learnt(train, smaller, sample, notes)
    except InputError as error:
        notes.append(f"There is no tokenizer, so tokens are not counted: {error}")
        return None


def write(report: Report, folder: Path) -> None:
    """Both files, each of them whole or not at all."""
    written = page(report)
    write_json(folder / NUMBERS, asdict(report))
    write_text(folder / PAGE, written)


def place_of(settings: dict[str, Any]) -> str:
    """The folder, the files or the data set that a corpus is read from; empty for one that is none of these."""
    keys = ("folder", "dataset", "train", "train_source")
    found: str | list[str] = next((settings[key] for key in keys if settings.get(key)), "")
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)


def whole_number(config: dict[str, Any], key: str, lowest: int) -> int:
    value = config[key]
    if type(value) is not int or value < lowest:
        raise InputError(f"`{key}` is {value!r}, but must be a whole number, at least {lowest}.")
    return value
