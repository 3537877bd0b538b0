"""Synthetic text: which side is which, what is rejected and why, and that a stopped start goes on to the same bytes."""

import gzip
import json
import lzma
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Runs
from dragoman.build import build
from dragoman.errors import InputError
from dragoman.run import build_search
from dragoman.synthesis.output import Output
from dragoman.synthesis.quality import Filter
from dragoman.text.corpus import Tsv
from dragoman.text.lines import read_lines
from dragoman.text.synthetic import Synthetic
from dragoman.translator import Translation, Translator, join
from scripts_for_tests import Answer, call, done, environment, finish, lines, start, tree
from training_for_tests import compose

EVERYTHING = ["filter.min_log_probability=null", "filter.max_ratio=null", "filter.max_repeats=null"]
BOUND = -1.1  # about in the middle of what the tiny run's translations have
GREEDY = ["search=greedy", *EVERYTHING]


@pytest.fixture
def mono(trained: Runs, place: Path) -> list[str]:
    """What `mono.en` holds, in the folder to work in: ordinary lines and odd ones."""
    text = (trained.folder / "data" / "test.en").read_text("utf-8").splitlines()
    odd = ["", "  ", "the\tdog", text[0], "\ufeffZut", "a" * 3]
    (place / "mono.en").write_text("".join(f"{line}\n" for line in [*text, *odd]), "utf-8")
    return [*text, *odd]


def synthesise(trained: Runs, *arguments: str, made_as: str = "distillation") -> Answer:
    return call("synthesise", f"run={trained.first}", "source=mono.en", f"as={made_as}", *arguments)


def table(path: str) -> list[list[str]]:
    """An oracle's reading of a table: line feeds and tabs, nothing else."""
    return [line.split("\t") for line in Path(path).read_text("utf-8").split("\n")[:-1]]


def folder_holds(*names: str) -> bool:
    return {path.name for path in Path().iterdir()} == {"mono.en", *names}


@pytest.mark.parametrize("tag", [None, "<bt>"])
@pytest.mark.parametrize("made_as", ["back_translation", "distillation"])
def test_the_given_text_is_on_its_side_and_the_translation_on_the_other(trained, mono, made_as, tag):
    told = done(synthesise(trained, *GREEDY, "output=out.tsv", f"tag={tag or 'null'}", made_as=made_as))
    ask = [f"run={trained.first}", "source=mono.en", "search=greedy"]
    translations, longer = (
        lines(done(call("translate", *ask, f"search.length_extra={extra}")).out) for extra in (20, 40)
    )
    expected, dropped = [], 0
    for given, found, freer in zip(mono, translations, longer, strict=True):
        if not given.strip() or not found or found.lower() == given.lower() or found != freer:
            dropped += 1
            continue
        sides = [given.replace("\t", " "), found]
        source, target = sides if made_as == "distillation" else sides[::-1]
        expected.append([f"{tag} {source}" if tag else source, target])
    assert table("out.tsv") == expected
    assert len(expected) >= 10
    assert dropped >= 5
    assert told.out.startswith(f"{len(mono)} lines, {len(expected)} pairs, {dropped} rejected (")
    assert folder_holds("out.tsv", "out.tsv.rejected", "out.tsv.json")


def test_a_corpus_reads_what_was_written(trained, mono):
    done(synthesise(trained, *GREEDY, "output=out.tsv.gz"))
    rest = {"source_language": "en", "target_language": "fr", "validation_size": 2, "test_size": 2, "seed": 1}
    found = Tsv(train="out.tsv.gz", validation=None, test=None, source_column=1, target_column=2, **rest).read("train")
    pairs = [[pair["source"], pair["target"]] for pair in found]
    assert pairs == [
        line.split("\t") for line in gzip.decompress(Path("out.tsv.gz").read_bytes()).decode().split("\n")[:-1]
    ]
    made = {"synthetic": "out.tsv.gz", "folder": str(trained.folder / "data"), "validation": "val", "test": "test"}
    alone, beside = (Synthetic(**made, **rest, train=train).splits() for train in (None, "train"))
    real = list(read_lines(trained.folder / "data" / "train.en"))
    assert list(alone.train["source"]) == [source for source, _ in pairs]
    assert list(beside.train["source"]) == [source for source, _ in pairs] + real
    for splits in (alone, beside):
        assert list(splits.test["source"]) == list(read_lines(trained.folder / "data" / "test.en"))
        assert len(splits.validation) == 40


def test_an_ensemble_synthesises_too(trained, mono):
    both = f"run=[{trained.first},{trained.second}]"
    done(call("synthesise", both, "source=mono.en", "as=distillation", *GREEDY, "output=out.tsv"))
    done(synthesise(trained, *GREEDY, "output=one.tsv"))
    assert len(json.loads(Path("out.tsv.json").read_text())["settings"]["run"]) == 2
    together, alone = (dict(table(name)) for name in ("out.tsv", "one.tsv"))
    shared = together.keys() & alone.keys()
    assert len(shared) > 5
    assert any(together[source] != alone[source] for source in shared)


# --- What is rejected ---


def found(text: str, tokens: int = 4, log_probability: float = -2.0, at_limit: bool = False) -> Translation:
    return Translation(text, 0.0, [], log_probability, tokens, at_limit)


@pytest.mark.parametrize(
    ("source", "translation", "tokens", "reason"),
    [
        ("a cat", found("un chat"), 4, None),
        ("", found("un chat"), 4, "empty"),
        ("a cat", found(" "), 4, "empty"),
        ("a cat", found("un \x07chat"), 4, "control"),
        ("a cat", found("un\u2028chat"), 4, "control"),
        ("A  cat", found("a Cat"), 4, "copy"),
        ("a cat", found("un chat", at_limit=True), 4, "unfinished"),
        ("a cat", found("un chat chat chat chat"), 4, "loop"),
        ("a cat", found("unnnn chat"), 4, "loop"),
        ("a cat", found("un chat chat chat"), 4, None),  # the last of them has no space behind it
        ("a ca-ca-ca-ca-cat", found("un cha-cha-cha-cha-chat"), 4, None),
        ("a cat", found("un chat", tokens=8), 4, None),
        ("a cat", found("un chat", tokens=9), 4, "length"),
        ("a cat", found("un chat", tokens=2), 4, None),
        ("a cat", found("un chat", tokens=2), 5, "length"),
        ("a cat", found("un chat", log_probability=-4.0), 4, None),
        ("a cat", found("un chat", log_probability=-4.1), 4, "improbable"),
    ],
)
def test_a_filter_says_which_law_is_broken(source, translation, tokens, reason):
    assert Filter(min_log_probability=-1.0, max_ratio=2.0, max_repeats=3).reason(source, translation, tokens) == reason
    lax = Filter(min_log_probability=None, max_ratio=None, max_repeats=None).reason(source, translation, tokens)
    assert lax == (reason if reason in ("empty", "control", "copy", "unfinished") else None)


@pytest.mark.parametrize("changes", [{"max_ratio": 0.5}, {"max_repeats": 0}])
def test_a_filter_without_sense_is_refused(changes):
    whole = {"min_log_probability": -1.0, "max_ratio": 2.0, "max_repeats": 3} | changes
    with pytest.raises(ValueError, match=next(iter(changes))):
        Filter(**whole)


def test_what_is_rejected_is_kept_with_its_reason_and_counted(trained, mono):
    told = done(synthesise(trained, "search=greedy", "output=out.tsv", f"filter.min_log_probability={BOUND}")).out
    kept, rejected = table("out.tsv"), table("out.tsv.rejected")
    reasons = Counter(row[0] for row in rejected)
    assert min(len(kept), reasons["improbable"], reasons["empty"]) >= 1
    assert all(float(row[1]) < BOUND for row in rejected if row[0] == "improbable")
    assert sorted([row[0] for row in kept] + [row[2] for row in rejected]) == sorted(
        line.replace("\t", " ").strip() for line in mono
    )
    record = json.loads(Path("out.tsv.json").read_text())
    assert record["rejected"] == dict(reasons)
    assert (record["lines"], record["kept"], record["finished"]) == (len(mono), len(kept), True)
    assert ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) in told


def test_a_translation_knows_its_probability_and_whether_its_limit_ended_it(trained, mono):
    settings = {"max_source": 256, "length_ratio": 0.0, "length_extra": 7}
    beam = {"_target_": "dragoman.search.Beam", "beam": 3, "length_penalty": 0.7, "nbest": 1, **settings}
    translate = Translator.load(trained.first, search=build_search(beam))
    limited = 0
    for line, (best, *_) in zip(mono, translate.translate(mono), strict=True):
        if not line.strip():
            assert best == Translation("", 0.0, [])
            continue
        assert best.score == pytest.approx(best.log_probability / ((5 + best.tokens) / 6) ** 0.7)
        assert best.at_limit == (best.tokens == 7)
        limited += best.at_limit
    assert limited > 5
    parts = [[found("a", 3, -2.0)], [found("b", 5, -4.0, at_limit=True)]]
    assert join(parts) == [found("a b", 8, -6.0, at_limit=True)]


# --- Stopped and started again ---


class Stopped(Exception):
    """On purpose."""


@contextmanager
def stopped_after(portions: int) -> Iterator[None]:
    """What is in there stops before it has written that many portions and a bit."""
    add, count = Output.add, 0

    def add_some(self: Output, *given: Any) -> None:
        nonlocal count
        if count == portions:
            for path in self.partial:
                with path.open("ab") as file:
                    file.write(b"half a li")
            raise Stopped
        count += 1
        add(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "add", add_some)
        with pytest.raises(Stopped):
            yield


@pytest.mark.parametrize(("suffix", "portions"), [("", 0), ("", 1), (".gz", 0), (".gz", 3), (".xz", 1), (".zst", 1)])
def test_a_stopped_start_goes_on_to_the_same_bytes(trained, mono, suffix, portions):
    given = ["search=sample", "search.temperature=0.3", f"filter.min_log_probability={BOUND}", "chunk=6"]
    done(synthesise(trained, *given, f"output=whole.tsv{suffix}"))
    with stopped_after(portions):
        synthesise(trained, *given, f"output=out.tsv{suffix}")
    assert not Path(f"out.tsv{suffix}").exists()
    told = done(synthesise(trained, *given, f"output=out.tsv{suffix}"))
    assert ("going on behind line" in told.err) == (portions > 0)
    for end in (f"tsv{suffix}", f"tsv.rejected{suffix}"):
        assert Path(f"out.{end}").read_bytes() == Path(f"whole.{end}").read_bytes()
        unpacked = list(read_lines(f"out.{end}"))
        assert len(unpacked) > 3
        assert all(line.count("\t") == (1 if end == f"tsv{suffix}" else 3) for line in unpacked)
    if suffix == ".xz":
        assert lzma.decompress(Path("out.tsv.xz").read_bytes()).count(b"\n") == len(list(read_lines("out.tsv.xz")))
    records = [json.loads(Path(f"{name}.tsv{suffix}.json").read_text()) for name in ("out", "whole")]
    assert records[0] == records[1]
    assert not list(Path().glob("*.partial"))


def test_a_killed_process_goes_on(trained, mono, place):
    given = [f"run={trained.first}", "source=mono.en", "as=distillation", *GREEDY, "chunk=1"]
    process = start("synthesise", *given, "output=out.tsv", folder=place)
    record = place / "out.tsv.json"
    while process.poll() is None and not record.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not json.loads(record.read_text())["finished"]
    done(finish(start("synthesise", *given, "output=out.tsv", folder=place)))
    done(call("synthesise", *given, "output=whole.tsv"))
    assert (place / "out.tsv").read_bytes() == (place / "whole.tsv").read_bytes()


def test_a_finished_output_is_told_again_and_never_made_again(trained, mono, place, monkeypatch):
    first = done(synthesise(trained, *GREEDY, "output=out.tsv"))
    before = tree(place)
    monkeypatch.setattr(Translator, "translate", lambda *_, **__: 1 / 0)
    assert done(synthesise(trained, *GREEDY, "output=out.tsv")).out == first.out
    for other in (
        "tag=<x>",
        "as=back_translation",
        "search.length_extra=9",
        "filter.max_ratio=5",
        f"run={trained.second}",
    ):
        refused = synthesise(trained, *GREEDY, "output=out.tsv", other)
        assert refused.status == 1
        assert "out.tsv was made with other settings (" in refused.err
        assert "): remove out.tsv and out.tsv.json, or choose" in refused.err
    (place / "mono.en").write_text("other\n")
    assert "(source: " in synthesise(trained, *GREEDY, "output=out.tsv").err
    after = tree(place)
    assert after.pop("mono.en") != before.pop("mono.en")
    assert after == before


def test_a_finished_output_that_is_gone_is_told(trained, mono):
    done(synthesise(trained, *GREEDY, "output=out.tsv"))
    Path("out.tsv").unlink()
    refused = synthesise(trained, *GREEDY, "output=out.tsv")
    assert refused.status == 1
    assert "out.tsv is gone, though it was finished: remove out.tsv.json to make it anew." in refused.err


def test_a_start_that_was_stopped_between_the_last_record_and_the_names_is_finished(trained, mono):
    done(synthesise(trained, *GREEDY, "output=out.tsv"))
    pairs = Path("out.tsv").read_bytes()
    Path("out.tsv").rename("out.tsv.partial")
    done(synthesise(trained, *GREEDY, "output=out.tsv"))
    assert Path("out.tsv").read_bytes() == pairs


def no_file(place: Path) -> None:
    (place / "mono.en").unlink()


def bad_bytes(place: Path) -> None:
    (place / "mono.en").write_bytes(b"a cat\n\xff\n")


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (no_file, [], "mono.en does not exist"),
        (bad_bytes, [], "mono.en, line 2: byte 1 of the line (0xFF) is not UTF-8"),
        (lambda place: (place / "mono.en").write_text(""), [], "mono.en is empty"),
        (lambda place: (place / "out.tsv").write_text("mine\n"), [], "out.tsv exists: remove it"),
        (lambda place: (place / "out.tsv.json").write_text("mine\n"), [], "out.tsv.json is not the record of out.tsv"),
        (lambda place: None, ["as=forward"], "`as` (forward) must be back_translation or distillation"),
        (lambda place: None, ["tag=<b t>"], "`tag` ('<b t>') must be one word"),
        (lambda place: None, ["tag="], "`tag` ('') must be one word"),
        (lambda place: None, ["filter.max_ratio=0"], "filter: `max_ratio` (0) must be at least 1"),
        (lambda place: None, ["chunk=0"], "`chunk` (0) must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(trained, mono, place, prepare, arguments, message):
    prepare(place)
    before = tree(place)
    refused = synthesise(trained, "output=out.tsv", *arguments)
    assert refused.status == 1
    assert message in refused.err
    assert len(lines(refused.err)) == 1
    assert tree(place) == before


def test_a_part_that_was_lost_is_said(trained, mono):
    with stopped_after(2):
        synthesise(trained, *GREEDY, "output=out.tsv", "chunk=6")
    Path("out.tsv.partial").write_bytes(b"")
    assert "out.tsv.partial has lost a part" in synthesise(trained, *GREEDY, "output=out.tsv", "chunk=6").err


HOLD = """
import sys, pathlib
from dragoman.files import locked
with locked(pathlib.Path(".out.tsv.lock"), ""):
    print(flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_one_table(trained, mono):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment(), **pipes) as other:
        other.stdout.readline()
        assert "Another process writes out.tsv" in synthesise(trained, *GREEDY, "output=out.tsv").err
        other.communicate()
    done(synthesise(trained, *GREEDY, "output=out.tsv"))
    assert folder_holds("out.tsv", "out.tsv.rejected", "out.tsv.json")


@pytest.mark.parametrize(
    ("setting", "message"),
    [("filter=null", "`filter` must stay"), ("filter.max_repeats=5000000000", "`max_repeats` (5000000000) must be")],
)
def test_a_filter_that_cannot_be_is_refused_before_anything_is_written(trained, mono, setting, message):
    assert message in synthesise(trained, "output=out.tsv", setting).err
    assert folder_holds()


def test_the_student_is_trained_on_the_table_beside_real_text_and_judged_on_that():
    """Its recipe as it is composed, with a table in its place."""
    student = compose("experiment=multi30k_en_de_student", "corpus.folder=x", "corpus.synthetic=y")
    teacher = compose("experiment=multi30k_en_de", "corpus.folder=x")
    corpus = build(student["corpus"])
    assert isinstance(corpus, Synthetic)
    for key in ("train", "validation", "test", "source_language", "target_language"):
        assert student["corpus"][key] == teacher["corpus"][key]
    assert student["init"] == teacher["run_dir"]
    assert student["model"]["decoder_layers"] == 1 < teacher["model"]["decoder_layers"]
    assert student["model"]["encoder_layers"] > teacher["model"]["encoder_layers"]
    with pytest.raises(InputError, match=r"y does not exist; set corpus\.synthetic"):
        corpus.read("train")
