"""Whatever is fed to it: no traceback, a line out for each line in, or one sentence and status 1.

The same inputs each time. A share of them here, all of them, over 10,000, where slow tests run.
"""

import gzip
import io
import json
import lzma
import random
import re
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polib
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from conftest import Runs
from dragoman.errors import InputError
from dragoman.evaluation import scores
from dragoman.evaluation.forced import log_probabilities
from dragoman.search import Beam, Greedy, Sampling
from dragoman.text.catalogues import read_gettext
from dragoman.text.interchange import read_tmx, read_xliff, read_xlsx
from dragoman.text.readers import Pairs, read_csv, read_jsonl, read_parquet, read_text, read_tsv
from dragoman.translator import Translator
from scripts_for_tests import Answer, call, lines, run

LENGTHS: dict[str, Any] = {"max_source": 40, "length_ratio": 0.3, "length_extra": 4}
WORDS = ["The", "hen", "runs", ".", "because", "it", "was", "tired", "?", "’s", "-"]
ODD = [
    "\0", "\x01", "\x1b[31m", "\x7f", "\x80", "\x85", "\u2028", "\u2029", "\ufeff", "\r", "\t", "\v", "\f", "\x1c",
    "\x1f", "\xa0", "\xad", "\u200b", "\u200d", "\u202e", "\u3000", "\ufffd", "\uffff", "\U0010ffff", "\U000e0041",
    "\ue000", "e" + "\u0301" * 30, "👩‍👩‍👧", "🏳️‍🌈", "東京", "한국", "\u1112\u1161\u11ab", "عربى", "ﬁ", "½", "İ",
    "ß", "▁", "▁▁", "<pad>", "</s>", "<s>", "<unk>", "<0x0A>", " ||| ", "'", '"', "\\", "\\n", "%s", "{}",
    "${oc.env:HOME}", "a" * 300, "." * 90, " " * 90, "1" * 400,
]  # fmt: skip


def line(generator: random.Random) -> str:
    """Words of the model's language and others, up to several times as long as what it takes in one piece."""
    size = generator.choice((0, 1, 2, 5, 9, 60))
    parts = [generator.choice(WORDS if generator.random() < 0.6 else ODD) for _ in range(generator.randint(0, size))]
    return generator.choice((" ", " ", "")).join(parts)


def document(generator: random.Random, count: int) -> bytes:
    """Lines as a file may hold them: with marks, other line ends, other encodings, or bytes that are no text."""
    text = "\n".join(line(generator) for _ in range(count)).encode()
    kind = generator.choice(
        ["plain", "plain", "ended", "bom", "crlf", "surrogate", "bytes", "changed", "utf-16", "empty"]
    )
    match kind:
        case "ended":
            return text + b"\n"
        case "bom":
            return b"\xef\xbb\xbf" + text
        case "crlf":
            return text.replace(b"\n", b"\r\n")
        case "surrogate":
            return text + b"\n\xed\xa0\x80"
        case "bytes":
            return generator.randbytes(count * 9)
        case "changed":
            return changed(generator, text)
        case "utf-16":
            return text.decode().encode("utf-16")
        case "empty":
            return b""
    return text


def changed(generator: random.Random, content: bytes) -> bytes:
    """With a few bytes changed, left out, put in or put twice, or cut short."""
    for _ in range(generator.randint(1, 4)):
        place, size = generator.randrange(len(content) + 1), generator.choice((1, 1, 2, 8, 60))
        piece = content[place : place + size]
        new = generator.choice((generator.randbytes(len(piece)), b"", piece * 3, bytes(size), b"\xff" * size))
        content = content[:place] + new + content[place + size :]
    return content[: generator.choice((len(content), len(content), generator.randrange(len(content) + 1)))]


def amounts(quick: int, full: int) -> pytest.MarkDecorator:
    """A share of the inputs, and all of them."""
    return pytest.mark.parametrize("count", [quick, pytest.param(full, marks=pytest.mark.slow)])


def examples(strategy: st.SearchStrategy[Any], count: int, check: Callable[[Any], None]) -> None:
    """Hypothesis's own, the same ones each time."""
    options: dict[str, Any] = {"derandomize": True, "database": None, "deadline": None}
    options |= {"suppress_health_check": list(HealthCheck), "max_examples": count}
    settings(**options)(given(strategy)(check))()


def check_sentence(said: str) -> None:
    assert said.endswith((".", "?", "!")), said
    assert len(said.splitlines()) == 1
    assert len(said) < 1000
    assert not re.match(r"\s*\w*(Error|Exception)\b", said)


def check_answer(answer: Answer) -> None:
    """Success; or a sentence, behind warnings of long lines."""
    assert answer.status in (0, 1)
    assert "Traceback" not in answer.err
    told = [one for one in answer.err.split("\n") if one and not one.startswith("Line ")]
    if answer.status:
        assert len(told) == 1, answer.err
        check_sentence(told[0])
    else:
        assert told == []


def count_lines(content: bytes) -> int:
    return content.count(b"\n") + (content != b"" and not content.endswith(b"\n"))


# --- Through a model ---


@pytest.fixture(scope="module", params=["greedy", "beam", "sampling"])
def translator(trained: Runs, request: pytest.FixtureRequest) -> Translator:
    search = {
        "greedy": Greedy(**LENGTHS),
        "beam": Beam(beam=2, nbest=2, length_penalty=1.0, **LENGTHS),
        "sampling": Sampling(temperature=3.0, top_k=0, top_p=1.0, nbest=2, seed=1, **LENGTHS),
    }[request.param]
    return Translator.load(trained.first, search=search, aligned=True)


def check_lines(translator: Translator, given_lines: list[str]) -> None:
    """One translation for each, without a line break, aligned to words that are there."""
    found = list(translator.translate(given_lines, chunk=50))
    assert len(found) == len(given_lines)
    for text, best in zip(given_lines, found, strict=True):
        assert len(best) == (translator.search.nbest if text.strip() and best[0].tokens else 1)
        for one in best:
            assert len(one.text.splitlines()) <= 1
            assert one.text.encode().decode() == one.text
            assert [target for _, target in one.alignment] == list(range(len(one.text.split())))
            assert all(0 <= source < len(text.split()) for source, _ in one.alignment)


@amounts(120, 2000)
def test_lines_of_every_kind_through_a_model(translator: Translator, count: int) -> None:
    generator = random.Random(1)
    check_lines(translator, [line(generator) for _ in range(count)])


@amounts(12, 150)
def test_texts_that_hypothesis_finds_through_a_model(translator: Translator, count: int) -> None:
    """All of Unicode, lone surrogates too: a Python string may hold them."""
    seen = 0

    def check(given_lines: list[str]) -> None:
        nonlocal seen
        check_lines(translator, given_lines)
        seen += len(given_lines)

    examples(st.lists(st.text(max_size=40), max_size=20), count, check)
    assert seen > 2 * count


@amounts(100, 1000)
def test_pairs_of_every_kind_have_a_probability(trained: Runs, count: int) -> None:
    translator, generator = Translator.load(trained.first), random.Random(2)
    pairs = [(line(generator)[:200], line(generator)[:200]) for _ in range(count)]
    found = log_probabilities(translator.model, translator.tokenizers, pairs, batch_tokens=2048)
    assert len(found) == count
    assert all(value < 0 for value in found)


# --- Through the scripts ---


@pytest.fixture
def quick_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BOOTSTRAP_SAMPLES", 3)


@pytest.mark.usefixtures("place", "quick_scores")
@amounts(4, 60)
def test_files_of_every_kind_through_the_scripts(trained: Runs, count: int) -> None:
    generator, refused = random.Random(3), 0
    search = ["search=greedy", *(f"search.{key}={value}" for key, value in LENGTHS.items())]
    for _ in range(count):
        size = generator.choice((0, 1, 5, 20))
        source, reference = document(generator, size), document(generator, size)
        Path("source.txt").write_bytes(source)
        Path("reference.txt").write_bytes(reference)
        files = [f"run={trained.first}", "source=source.txt"]
        one = call("translate", *files, *search)
        two = call("score", *files, "reference=reference.txt")
        three = call("evaluate", *files, "reference=reference.txt", "output=scored", *search)
        for answer in (one, two, three):
            check_answer(answer)
            refused += answer.status
        if not one.status:
            assert len(lines(one.out)) == count_lines(source)
        if not two.status:
            assert len(lines(two.out)) == count_lines(source) == count_lines(reference)
        if not three.status:
            written = [Path("scored", name).read_bytes() for name in ("source.txt", "hypotheses.txt", "reference.txt")]
            assert {count_lines(content) for content in written} == {count_lines(source)}
    assert 0 < refused < 3 * count


@amounts(1, 12)
def test_standard_input_of_every_kind_through_real_processes(trained: Runs, place: Path, count: int) -> None:
    search = ["search=greedy", *(f"search.{key}={value}" for key, value in LENGTHS.items())]
    generator, done = random.Random(4), 0
    for number in range(count):
        given_bytes = document(generator, 150)
        answer = run("translate", f"run={trained.first}", *search, "chunk=20", folder=place, given=given_bytes)
        check_answer(answer)
        if not answer.status:
            assert len(lines(answer.out)) == count_lines(given_bytes)
        done += len(lines(answer.out))
        if number % 4 == 3:
            (place / "source.txt").write_bytes(given_bytes)
            files = [f"run={trained.first}", "source=source.txt", "reference=source.txt"]
            check_answer(run("score", *files, folder=place))
            check_answer(run("evaluate", *files, "output=scored", *search, folder=place))
    assert done > 50 * count


# --- Through the readers ---


def workbook(rows: list[tuple[str, str]]) -> bytes:
    stream, book = io.BytesIO(), Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(stream)
    return stream.getvalue()


def parquet(rows: list[tuple[str, str]]) -> bytes:
    stream, (source, target) = io.BytesIO(), zip(*rows, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"en": list(source), "fr": list(target)}), stream)
    return stream.getvalue()


def tmx(rows: list[tuple[str, str]]) -> bytes:
    unit = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="fr"><seg>{} <bpt>x</bpt></seg></tuv></tu>'
    units = "\n".join(unit.format(*row) for row in rows)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><body>{units}</body></tmx>'.encode()


def xliff(rows: list[tuple[str, str]]) -> bytes:
    units = "\n".join(f"<trans-unit><source>{a}</source><target>{b}</target></trans-unit>" for a, b in rows)
    return f'<xliff><file source-language="en" target-language="fr"><body>{units}</body></file></xliff>'.encode()


def po_file(rows: list[tuple[str, str]]) -> polib.POFile:
    file = polib.POFile()
    file.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    file.extend(polib.POEntry(msgid=f"{a} {number}", msgstr=b) for number, (a, b) in enumerate(rows))
    file.append(polib.POEntry(msgid="hen", msgid_plural="hens", msgstr_plural={0: "poule", 1: "poules"}))
    return file


def mo_file(rows: list[tuple[str, str]]) -> bytes:
    return po_file(rows).to_binary()


def read_couple(path: Path) -> Pairs:
    return read_text(path, path)


Form = tuple[str, Callable[[Path], Pairs], Callable[[list[tuple[str, str]]], bytes]]
GETTEXT = partial(read_gettext, msgid="en", source="en", target="fr")
TABBED: Callable[[list[tuple[str, str]]], bytes] = lambda rows: "".join(f"{a}\t{b}\n" for a, b in rows).encode()  # noqa: E731
TSV = partial(read_tsv, source=1, target=2)
FORMS: dict[str, Form] = {
    "text": ("x.en", read_couple, TABBED),
    "tsv": ("x.tsv", TSV, TABBED),
    "csv": ("x.csv", partial(read_csv, separator=",", source="a", target="b"),
            lambda rows: ("a,b\n" + "".join(f'{a},"{b}"\n' for a, b in rows)).encode()),
    "jsonl": ("x.jsonl", partial(read_jsonl, source="a", target="b.c"),
              lambda rows: "".join(json.dumps({"a": a, "b": {"c": b}}) + "\n" for a, b in rows).encode()),
    "parquet": ("x.parquet", partial(read_parquet, source="en", target="fr"), parquet),
    "xlsx": ("x.xlsx", partial(read_xlsx, sheet=None, source=1, target=2), workbook),
    "tmx": ("x.tmx", partial(read_tmx, source="en", target="fr"), tmx),
    "xliff": ("x.xlf", partial(read_xliff, source="en", target="fr"), xliff),
    "po": ("x.po", GETTEXT, lambda rows: str(po_file(rows)).encode()),
    "mo": ("x.mo", GETTEXT, mo_file),
    "gz": ("x.tsv.gz", TSV, lambda rows: gzip.compress(TABBED(rows), mtime=0)),
    "xz": ("x.tsv.xz", TSV, lambda rows: lzma.compress(TABBED(rows))),
    "zst": ("x.tsv.zst", TSV, lambda rows: zstandard.compress(TABBED(rows))),
    "tmx.gz": ("x.tmx.gz", partial(read_tmx, source="en", target="fr"), lambda rows: gzip.compress(tmx(rows), mtime=0)),
    "xlsx, repacked": ("x.xlsx", partial(read_xlsx, sheet=None, source=1, target=2), workbook),
}  # fmt: skip
ROWS = [("The hen runs.", "La poule court."), ("It slept.", "Elle dormait."), ("œ 東京 👩‍👩‍👧", "’s")] * 3


def repacked(generator: random.Random, content: bytes) -> bytes:
    """A zip archive with one of its parts changed, its checksums right again: what a reader below gets to see."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    victim = generator.choice(list(parts))
    parts[victim] = changed(generator, parts[victim])
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
@amounts(20, 400)
def test_files_of_every_kind_through_the_readers(tmp_path: Path, form: str, count: int) -> None:
    """Half of them damaged files of their kind, and most of those worse than a character: pairs, or one sentence."""
    name, read, write = FORMS[form]
    generator, good = random.Random(form), write(ROWS)
    path = tmp_path / name
    path.write_bytes(good)
    assert len(list(read(path))) >= len(ROWS)
    refused = 0

    def check(content: bytes) -> None:
        nonlocal refused
        path.write_bytes(content)
        try:
            for pair in read(path):
                for side in pair[:2]:
                    assert side.encode("utf-8", "surrogateescape") is not None
        except InputError as error:
            refused += 1
            check_sentence(str(error))

    for _ in range(count // 2):
        check(repacked(generator, good) if "repacked" in form else changed(generator, good))
    for _ in range(count // 4):
        check(document(generator, 5))
    examples(st.binary(max_size=200), count // 4, check)
    assert refused > 0 or form == "text"
