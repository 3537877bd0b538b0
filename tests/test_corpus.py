"""Laws of `dragoman.text.corpus`: every format gives the pairs that were written, a changed file is read anew, a cut is
a partition, and what cannot be read is one sentence that names the file and the place in it."""

import csv
import gzip
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset, DatasetDict
from omegaconf import OmegaConf

from dragoman.build import any_class
from dragoman.errors import InputError
from dragoman.text import corpus as corpora
from dragoman.text.corpus import Corpus, Csv, Files, Folder, Jsonl, Parquet, Pocket, Table, Tsv
from dragoman.text.documents import Gettext, Tmx, Xliff, Xlsx
from dragoman.text.hub import Hub
from dragoman.text.mixing import Mix
from dragoman.text.pocket import generate
from dragoman.text.readers import Pair
from dragoman.text.splits import texts_alone
from dragoman.text.synthetic import Synthetic
from scripts_for_tests import environment

CONFIGS = Path(__file__).parents[1] / "configs" / "corpus"
COMMON = {"source_language": "en", "target_language": "fr", "validation_size": 2, "test_size": 3, "seed": 5}

Rows = list[tuple[str, str]]

# What line-based formats must keep apart although other tools split or translate it.
LINES: Rows = [
    ("NA", "null"),
    ("None", "nan"),
    ("", "an empty side"),
    ("2020-01-01", "1.0"),
    ("line\u2028separator", "next\x85line"),
    ("form\x0cfeed", "carriage\rreturn"),
    ('quotes " inside', '"around"'),
    ("emoji 👩‍👩‍👧", "e\u0301 \ufeff"),
    (" spaces ", "a, comma; and more"),
]
# What formats with quotes or escapes can hold as well.
CELLS: Rows = [*LINES, ("tab\tin a cell", "two\nlines")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # `datasets` reads the environment at import, so the variable would come too late.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def put(name: str, data: str | bytes) -> str:
    data = data.encode() if isinstance(data, str) else data
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


def pairs(dataset: Dataset) -> Rows:
    assert dataset.column_names == ["source", "target"]
    assert {str(feature.dtype) for feature in dataset.features.values()} == {"string"}
    return list(zip(dataset["source"], dataset["target"], strict=True))


def table(kind: type[Table], train: str | list[str], **changes: Any) -> Table:
    columns = {"source_column": "source", "target_column": "target"}
    separator = {"separator": ","} if kind is Csv else {}
    return kind(**{**COMMON, **columns, **separator, "train": train, "validation": None, "test": None, **changes})


def folder(**changes: Any) -> Folder:
    return Folder(**{**COMMON, "folder": "data", "train": "train", "validation": "val", "test": "test", **changes})


def hub(dataset: str, **changes: Any) -> Hub:
    splits = {"configuration": None, "train": "train", "validation": None, "test": None}
    return Hub(**{**COMMON, **splits, "dataset": dataset, "source_column": "en", "target_column": "fr", **changes})


def given(corpus: Corpus) -> Rows:
    """The training split before anything is cut off."""
    return pairs(texts_alone("train", corpus.read("train")))


def message(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith("."), text
    return text


# --- every format gives back what was written


def as_tsv(rows: Rows) -> str:
    return "".join(f"{number}\t{source}\t{target}\n" for number, (source, target) in enumerate(rows))


def as_csv(rows: Rows) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([("id", "source", "target"), *((n, s, t) for n, (s, t) in enumerate(rows))])
    return stream.getvalue()


def as_jsonl(rows: Rows) -> str:
    return "".join(json.dumps({"id": 1, "source": s, "target": t}, ensure_ascii=False) + "\n" for s, t in rows)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("kind", "name", "write", "rows", "columns"),
    [
        (Tsv, "t.tsv", as_tsv, LINES, (2, 3)),
        (Tsv, "h.tsv", lambda rows: "id\tsource\ttarget\n" + as_tsv(rows), LINES, ("source", "target")),
        (Csv, "t.csv", as_csv, CELLS, ("source", "target")),
        (Csv, "n.csv", lambda rows: as_csv(rows).split("\r\n", 1)[1], CELLS, (2, 3)),
        (Jsonl, "t.jsonl", as_jsonl, CELLS, ("source", "target")),
    ],
    ids=["tsv", "tsv header", "csv", "csv numbers", "jsonl"],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "bom"])
def test_text_tables(
    packed: str, kind: type[Table], name: str, write: Any, rows: Rows, columns: Any, mark: str
) -> None:
    text = mark + write(rows)
    corpus = table(kind, put(name + packed, text), source_column=columns[0], target_column=columns[1])
    assert given(corpus) == rows
    unended = table(
        kind, put("unended" + packed, text.rstrip("\r\n")), source_column=columns[0], target_column=columns[1]
    )
    assert given(unended) == rows


@pytest.mark.parametrize(("kind", "write"), [(Tsv, as_tsv), (Jsonl, as_jsonl)])
def test_windows_line_ends(kind: type[Table], write: Any) -> None:
    names = {Tsv: (2, 3), Jsonl: ("source", "target")}[kind]
    path = put("windows", write(LINES).replace("\n", "\r\n"))
    assert given(table(kind, path, source_column=names[0], target_column=names[1])) == LINES


def test_parquet() -> None:
    columns = {"id": list(range(len(CELLS))), "source": [s for s, _ in CELLS], "target": [t for _, t in CELLS]}
    pyarrow.parquet.write_table(pyarrow.table(columns), "t.parquet", row_group_size=4)
    assert given(table(Parquet, "t.parquet")) == CELLS
    assert given(table(Parquet, ["t.parquet", "t.parquet"])) == CELLS * 2


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("category", [False, True])
def test_parquet_stores_text_in_several_ways(large: bool, category: bool) -> None:
    column = pyarrow.array(["a", "b", "a"], pyarrow.large_string() if large else pyarrow.string())
    column = column.dictionary_encode() if category else column
    pyarrow.parquet.write_table(pyarrow.table({"source": column, "target": column}), "t.parquet")
    assert given(table(Parquet, "t.parquet")) == [("a", "a"), ("b", "b"), ("a", "a")]


def test_nested_columns() -> None:
    records = [{"id": n, "translation": {"en": s, "fr": t, "de": "x"}} for n, (s, t) in enumerate(CELLS)]
    columns = {"source_column": "translation.en", "target_column": "translation.fr"}
    put("data/train.jsonl", "\n\n".join(map(json.dumps, records)))
    assert given(table(Jsonl, "data/train.jsonl", **columns)) == CELLS
    assert given(hub("data", **columns)) == CELLS
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), "t.parquet")
    assert given(table(Parquet, "t.parquet", **columns)) == CELLS
    flat = [{"translation.en": s, "translation.fr": t} for s, t in CELLS]
    assert given(table(Jsonl, put("flat.jsonl", "\n".join(map(json.dumps, flat))), **columns)) == CELLS
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat), "flat.parquet")
    assert given(table(Parquet, "flat.parquet", **columns)) == CELLS


def test_folder() -> None:
    for stem, rows in {"train": LINES, "more/extra": LINES[:2], "val": LINES[2:4], "test": LINES[4:]}.items():
        put(f"data/{stem}.en", "\r\n".join(source for source, _ in rows))
        put(f"data/{stem}.fr.gz", "".join(target + "\n" for _, target in rows))
    put("data/train.en.gz", "the packed one is not read")
    train, validation, test = folder().splits()
    assert (pairs(train), pairs(validation), pairs(test)) == (LINES, LINES[2:4], LINES[4:])
    assert given(folder(train=["train", "more/extra"])) == LINES + LINES[:2]
    swapped = given(folder(source_language="fr", target_language="en"))
    assert swapped == [(target, source) for source, target in LINES]


def files(**changes: Any) -> Files:
    absent = dict.fromkeys(["validation_source", "validation_target", "test_source", "test_target"])
    return Files(**{**COMMON, **absent, "train_source": "a.en", "train_target": "a.fr", **changes})


def test_files() -> None:
    put("a.en", "1\n2\n"), put("a.fr", "un\ndeux\n"), put("b.gz", "3\n"), put("c", "trois\n")
    expected = [("1", "un"), ("2", "deux"), ("3", "trois")]
    assert given(files(train_source=["a.en", "b.gz"], train_target=["a.fr", "c"])) == expected
    assert pairs(files(test_source="b.gz", test_target="c").split("test")) == expected[2:]


def test_pocket() -> None:
    sizes = {"train_size": 9, "validation_size": 2, "test_size": 3}
    splits = Pocket(**{**COMMON, **sizes}).splits()
    assert [len(split) for split in splits] == [9, 2, 3]
    assert len({pair for split in splits for pair in pairs(split)}) == 14
    assert pairs(splits.train) == generate("train", size=9, seed=5)
    swapped = Pocket(**{**COMMON, **sizes, "source_language": "fr", "target_language": "en"})
    assert given(swapped) == [(french, english) for english, french in pairs(splits.train)]
    assert "corpus.test_size is 0" in message(Pocket(**{**COMMON, **sizes, "test_size": 0}).splits)
    for languages in (("en", "de"), ("en", "en")):
        changes = dict(zip(("source_language", "target_language"), languages, strict=True))
        assert "between en and fr" in message(Pocket(**{**COMMON, **sizes, **changes}).splits)


# --- the cut


def numbered(count: int) -> str:
    return put("numbered.tsv", "".join(f"{n}\t{-n}\n" for n in range(count)))


def cut(**changes: Any) -> Tsv:
    corpus = table(Tsv, "numbered.tsv", source_column=1, target_column=2, **changes)
    assert isinstance(corpus, Tsv)
    return corpus


def test_the_cut_is_a_partition() -> None:
    numbered(50)
    parts = [pairs(part) for part in cut().splits()]
    assert [len(part) for part in parts] == [45, 2, 3]
    assert sorted(chain.from_iterable(parts), key=lambda pair: int(pair[0])) == [(str(n), str(-n)) for n in range(50)]
    assert [pairs(part) for part in cut().splits()] == parts
    assert [pairs(cut().split(name)) for name in ("train", "validation", "test")] == parts
    others = [pairs(cut(seed=seed).split("test")) for seed in range(100, 110)]
    assert sum(other != parts[2] for other in others) >= 9


def test_the_cut_is_the_same_in_every_year() -> None:
    numbered(50)
    assert [int(source) for source, _ in pairs(cut().split("test"))] == [6, 29, 42]
    put("val.tsv", "a\tb\n")
    assert [int(source) for source, _ in pairs(cut(validation="val.tsv").split("test"))] == [6, 29, 42]
    assert len(cut(validation="val.tsv").split("train")) == 47


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_size": 0}, r"corpus.test_size is 0"),
        ({"validation_size": -1}, r"corpus.validation_size is -1"),
        ({"seed": -1}, r"corpus.seed is -1"),
        ({"seed": 2**32}, r"corpus.seed is 4294967296"),
    ],
)
def test_what_cannot_be_cut(changes: dict[str, int], reason: str) -> None:
    numbered(33)
    assert re.search(reason, message(cut(**changes).splits))


def test_a_cut_that_leaves_too_few_is_a_tenth_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    numbered(50)
    assert [len(part) for part in cut(validation_size=20, test_size=5).splits()] == [25, 20, 5]
    assert caplog.messages == []
    assert [len(part) for part in cut(validation_size=1000, test_size=3).splits()] == [42, 5, 3]
    assert caplog.messages == [
        "corpus.test_size=3 and corpus.validation_size=1000 would leave too few of 50 training pairs: cut off at most a"
        " tenth (test 3, validation 5)"
    ]
    numbered(9)
    assert "9 pairs, too few to cut off corpus.test_size=3 and corp" in message(cut(validation_size=5).splits)


def test_null_is_an_empty_text() -> None:
    expected = [("a", ""), ("", "b")]
    rows = '{"source": "a", "target": null}\n{"source": null, "target": "b"}\n'
    assert given(table(Jsonl, put("t", rows))) == expected
    assert given(table(Csv, put("t", "source,target\na,\n,b\n"))) == expected
    pyarrow.parquet.write_table(pyarrow.table({"source": ["a", None], "target": [None, "b"]}), "t.parquet")
    assert given(table(Parquet, "t.parquet")) == expected
    put("data/train.jsonl", rows.replace("source", "en").replace("target", "fr"))
    assert given(hub("data")) == expected


def test_the_separator_of_a_table_can_be_set() -> None:
    path = put("t", 'id;target;source\n1;"x;y";"a,b"\n')
    assert given(table(Csv, path, separator=";")) == [("a,b", "x;y")]


def test_a_split_is_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    put("data/test.en", "a\n"), put("data/test.fr", "b\n")
    assert pairs(folder(train="absent").split("test")) == [("a", "b")]
    numbered(50)
    reads: list[str] = []
    monkeypatch.setattr(Tsv, "read", lambda self, name: reads.append(name) or Table.read(self, name))
    cut().splits()
    assert reads == ["train"]


# --- the cache


def test_a_changed_file_is_read_anew() -> None:
    corpus = table(Tsv, put("t.tsv", "old\tone\n"), source_column=1, target_column=2)
    assert given(corpus) == [("old", "one")]
    before = os.stat("t.tsv")
    put("t.tsv", "new\tone\n")
    os.utime("t.tsv", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat("t.tsv")
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert given(corpus) == [("new", "one")]


def test_a_changed_local_data_set_is_read_anew() -> None:
    put("data/train.csv", "en,fr\nold,one\n")
    before = os.stat("data/train.csv")
    assert given(hub("data")) == [("old", "one")]
    put("data/train.csv", "en,fr\nnew,one\n")
    os.utime("data/train.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert given(hub("data")) == [("new", "one")]


def test_other_columns_are_not_served_from_the_cache() -> None:
    path = put("t.tsv", "a\tb\tc\n")
    for source, target in ((1, 2), (2, 1), (1, 3), (3, 3)):
        assert given(table(Tsv, path, source_column=source, target_column=target)) == [
            ("abc"[source - 1], "abc"[target - 1])
        ]


def test_the_same_bytes_under_another_name() -> None:
    packed = gzip.compress(b"a\tb\n")
    Path("t.tsv.gz").write_bytes(packed)
    assert given(table(Tsv, "t.tsv.gz", source_column=1, target_column=2)) == [("a", "b")]
    Path("t.tsv").write_bytes(packed)
    assert "t.tsv, line 1" in message(lambda: given(table(Tsv, "t.tsv", source_column=1, target_column=2)))


def test_an_unchanged_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def counted(path: Path, *columns: Any) -> Iterator[Pair]:
        calls.append(path)
        yield Pair("a", "b", f"{path}:1")

    monkeypatch.setattr(corpora, "read_tsv", counted)
    corpus = table(Tsv, put("t.tsv", "a\tb\n"))
    assert given(corpus) == given(corpus) == [("a", "b")]
    assert calls == [Path("t.tsv")]


FULL = """
import resource, sys
from pathlib import Path
from dragoman.data.tokenised import tokenise
from dragoman.errors import InputError
from dragoman.text.corpus import Tsv
from dragoman.text.tokenizer import SentencePiece

corpus = Tsv(
    source_language="en", target_language="fr", train="t.tsv", validation="v.tsv", test="v.tsv",
    source_column=1, target_column=2, validation_size=1, test_size=1, seed=1,
)
limits = {"read": int(sys.argv[1]), "tokenise": int(sys.argv[2])}

def limited(stage, work):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[stage], resource.RLIM_INFINITY))
    try:
        return work()
    except InputError as error:
        sys.exit(f"{stage}: {error}")

text = limited("read", corpus.splits).train
settings = {"model_type": "bpe", "vocab_size": 60, "joint": True, "byte_fallback": False, "character_coverage": 1.0}
tokenizers = SentencePiece(**settings, symbols=None, normalisation=None).train(text["source"], text["target"])
found = limited("tokenise", lambda: tokenise(text, tokenizers, max_length=99, name="train"))
print(len(text), len(found.dataset), found.lengths_N2.shape, int(found.lengths_N2.sum()))
"""


@pytest.mark.parametrize("limits", [(50_000, 0), (10**9, 50_000)], ids=["text", "ids"])
def test_a_disk_that_fills_is_one_sentence_and_leaves_nothing_that_is_trusted(cache: Path, limits: tuple) -> None:
    put("t.tsv", "".join(f"a dog runs {n}\tun chien court {n}\n" for n in range(9_000)))
    put("v.tsv", "a\tb\n")
    variables = environment() | {"HF_DATASETS_CACHE": str(cache)}

    def run(*given: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FULL, *map(str, given)]
        return subprocess.run(command, capture_output=True, text=True, env=variables)

    stopped = run(*limits)
    stage = "read" if limits[0] == 50_000 else "tokenise"
    assert re.match(rf"{stage}: .* cannot be kept in .*HF_DATASETS_CACHE[^\n]*\n$", stopped.stderr), stopped.stderr
    whole = run(10**9, 10**9)
    assert whole.stdout.startswith("9000 9000 (9000, 2) "), whole.stderr


def test_nothing_half_read_is_kept(cache: Path) -> None:
    corpus = table(Tsv, put("t.tsv", "a\tb\n" * 5000 + "broken\n"), source_column=1, target_column=2)
    for _ in range(2):
        assert "t.tsv, line 5001 has 1 column," in message(lambda: given(corpus))
    files = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert [path for path in files if path.parent.name != "hashes"] == []
    put("t.tsv", "a\tb\n" * 5000)
    assert given(corpus) == [("a", "b")] * 5000


def test_an_unusable_cache(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    corpus = table(Tsv, put("t.tsv", "a\tb\n"), source_column=1, target_column=2)
    assert "HF_DATASETS_CACHE" in message(lambda: given(corpus))


def test_a_damaged_cache(cache: Path) -> None:
    corpus = table(Tsv, put("t.tsv", "a\tb\n"), source_column=1, target_column=2)
    given(corpus)
    arrow = list(cache.rglob("*.arrow"))
    assert len(arrow) == 1
    arrow[0].write_bytes(b"damaged")
    assert "HF_DATASETS_CACHE" in message(lambda: given(corpus))


def test_a_bug_is_not_called_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, *columns: Any) -> Iterator[Pair]:
        yield Pair("a", "b", f"{path}:1")
        raise TypeError("a bug of ours")

    monkeypatch.setattr(corpora, "read_tsv", broken)
    with pytest.raises(datasets.exceptions.DatasetGenerationError):
        given(table(Tsv, put("t.tsv", "a\tb\n")))


# --- bad input is one sentence


BAD_TABLES: list[tuple[type[Table], str | bytes, dict[str, Any], list[str]]] = [
    (Tsv, "a\tb\nonly one\n", {"source_column": 1, "target_column": 2}, ["t, line 2", "1 column,", "column 2"]),
    (Tsv, "a\tb\n\n", {"source_column": 1, "target_column": 2}, ["t, line 2"]),
    (Tsv, "a\tb\n", {"source_column": 0, "target_column": 1}, ["numbers start at 1", "corpus.source_column"]),
    (Tsv, "en\tfr\na\tb\n", {}, ["t, line 1", "'source'", "'en', 'fr'"]),
    (Tsv, "source\ttarget\tsource\na\tb\tc\n", {}, ["'source' twice"]),
    (Tsv, "source\ttarget\na\n", {}, ["t, line 2"]),
    (Tsv, b"source\ttarget\na\tcaf\xe9\n", {}, ["t, line 2", "0xE9"]),
    (Tsv, "source\ttarget\n", {}, ["corpus.train (t)", "no sentence pair"]),
    (Tsv, "", {}, ["corpus.train (t)", "no sentence pair"]),
    (Tsv, "source\ttarget\na\tb\n", {"target_column": 2}, ["no column 2 but 'source', 'target'"]),
    (Csv, "sources,target\na,b\n", {}, ["t, line 1", "'source'", "did you mean 'sources'?"]),
    (Csv, 'source,target\na,b\n"two\nlines",b\na,b,c\n', {}, ["t, line 5", "3 cells", "2"]),
    (Csv, 'source,target\na,b\n"never closed,b\na,b\n', {}, ["t, line 3"]),
    (Csv, 'source,target\n"a"b,c\n', {}, ["t, line 2", "RFC 4180"]),
    (Csv, "source,target\na\rb,c\n", {}, ["t, line 2"]),
    (Csv, "source,target\na\n", {}, ["t, line 2", "1 cell "]),
    (Csv, "id;source;target\n1;a;b\n", {}, ["the separator seems to be ';'", """set 'corpus.separator=";"'"""]),
    (Csv, "id\tsource\ttarget\n1\ta\tb\n", {}, ["the separator seems to be '\\t'", "set corpus=tsv"]),
    (Csv, "source\na\n", {}, ["no column 'target' but 'source'"]),
    (Csv, "source,target\na,b\n", {"separator": ";;"}, ["corpus.separator is ';;'"]),
    (Jsonl, '{"source": "a", "target": "b"}\n{"source": "a"}\n', {}, ["t, line 2", "'target'", "'source'"]),
    (Jsonl, '{"source": {"en": "a"}, "target": "b"}', {"source_column": "source.eng"}, ["did you mean 'source.en'?"]),
    (Jsonl, '{"source": "a", "target": 7}', {}, ["t, line 1: target: 7 is not text; mend or remove it, or set"]),
    (Jsonl, '{"source": NaN, "target": "b"}', {}, ["t, line 1: source: nan is not text"]),
    (Jsonl, '{"source": true, "target": ["b"]}', {}, ["t, line 1: source: True is not text; target: ['b'] is not"]),
    (Jsonl, '{"source": "\\ud800", "target": "b"}', {}, ["t, line 1: source: '\\ud800' is not text"]),
    (Jsonl, '{"x": {"a.b": "x"}}', {"source_column": "x.a.b"}, ["t, line 1", "no column"]),
    (Jsonl, '\n{"source": "a"', {}, ["t, line 2", "not JSON"]),
    (Jsonl, '["a", "b"]', {}, ["t, line 1", "not a JSON object"]),
    (Jsonl, "[" * 100_000, {}, ["t, line 1", "not JSON"]),
    (Jsonl, '{"source": ' + "1" * 5000 + "}", {}, ["t, line 1", "not JSON"]),
    (Parquet, "not parquet", {}, ["t cannot be read as Parquet"]),
    (Parquet, "", {}, ["t cannot be read as Parquet"]),
]


@pytest.mark.parametrize(("kind", "data", "changes", "parts"), BAD_TABLES)
def test_bad_tables(kind: type[Table], data: str | bytes, changes: dict[str, Any], parts: list[str]) -> None:
    text = message(lambda: given(table(kind, put("t", data), **changes)))
    assert [part for part in parts if part not in text] == [], text


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"source": [1, 2], "target": ["x", "y"]}, ["t.parquet, line 1: source: 1 is not text"]),
        ({"sauce": ["a"], "target": ["x"]}, ["t.parquet has no column 'source' but 'sauce', 'target'", "did you mean"]),
        ({"source": [{"en": "a"}], "target": ["x"]}, ["no column 'source' but 'source.en', 'target'"]),
        ({"source": [["a"]], "target": ["x"]}, ["no column 'source'"]),
        ({"source": [], "target": []}, ["corpus.train (t.parquet)", "no sentence pair"]),
    ],
)
def test_bad_parquet(columns: dict[str, list[Any]], parts: list[str]) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), "t.parquet")
    text = message(lambda: given(table(Parquet, "t.parquet")))
    assert [part for part in parts if part not in text] == [], text


def test_parquet_that_is_not_text() -> None:
    offsets, letters = pyarrow.array([0, 4, 8], pyarrow.int32()).buffers()[1], pyarrow.py_buffer(b"finecaf\xe9")
    text = pyarrow.StringArray.from_buffers(2, offsets, letters)
    pyarrow.parquet.write_table(pyarrow.table({"source": text, "target": text}), "t.parquet")
    assert "t.parquet cannot be read as Parquet" in message(lambda: given(table(Parquet, "t.parquet")))


def test_damaged_parquet() -> None:
    rows = [f"sentence {number}" for number in range(30_000)]
    pyarrow.parquet.write_table(pyarrow.table({"source": rows, "target": rows}), "t.parquet")
    data = bytearray(Path("t.parquet").read_bytes())
    data[1000:3000] = b"\xff" * 2000
    Path("t.parquet").write_bytes(data)
    assert "t.parquet" in message(lambda: given(table(Parquet, "t.parquet")))


def test_files_that_are_not_there() -> None:
    put("data/train.en", "a\n")
    Path("data/train.fr").mkdir()
    os.mkfifo("pipe")
    assert re.search(
        r"data/train\.fr is not a file, nor is it with \.gz, \.xz, \.zst behind it.*corpus\.folder",
        message(folder().splits),
    )
    assert "none.tsv does not exist; set corpus.train " in message(table(Tsv, "none.tsv").splits)
    assert "none.tsv does not exist; set corpus.test " in message(
        lambda: table(Tsv, "x", test="none.tsv").split("test")
    )
    assert "data is a folder or a device" in message(table(Tsv, ["data/train.en", "data"]).splits)
    assert "pipe is a folder or a device" in message(table(Tsv, "pipe").splits)
    assert "corpus.train is []" in message(table(Tsv, []).splits)
    assert "corpus.train is ['a', None]" in message(table(Tsv, ["a", None]).splits)  # type: ignore[list-item]


def test_parallel_files_that_do_not_match() -> None:
    put("a.en", "1\n2\n"), put("a.fr", "un\n")
    assert "a.en has 2 lines and a.fr has 1" in message(files().splits)
    assert "corpus.train_source names 2 files and corpus.train_target 1" in message(
        files(train_source=["a.en"] * 2).splits
    )
    assert "Only one of corpus.test_source and corpus.test_target" in message(files(test_source="a.en").splits)
    put("a.en", ""), put("a.fr", "")
    assert "corpus.train (a.en, a.fr) holds no sentence pair" in message(files().splits)
    put("a.en", b"fine\nne\xe9\n"), put("a.fr", "bon\nné\n")
    assert "a.en, line 2" in message(files().splits)
    put("a.en", "1\n2\n"), put("a.fr.gz", "x")
    Path("a.fr.gz").write_bytes(b"not gzip")
    assert "a.fr.gz, line 1: the gzip data are damaged" in message(files(train_target="a.fr.gz").splits)


@pytest.mark.parametrize(
    ("key", "value"),
    [("source_language", False), ("seed", "7"), ("test_size", 1.5), ("train", 2016), ("train", None), ("seed", True)],
)
def test_values_of_another_kind(key: str, value: object) -> None:
    assert f"corpus.{key} is {value!r}, but must be" in message(lambda: folder(**{key: value}))


# --- the hub


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_local_folder_is_a_data_set(ending: str) -> None:
    # What the CSV loader of `datasets` loses: words for nothing (configs/corpus/hub.yaml tells), bare carriage returns.
    lost = ("NA", "None", "", "form\x0cfeed") if ending == "csv" else ()
    rows = [{"id": n, "en": s, "fr": t} for n, (s, t) in enumerate(CELLS) if s not in lost]
    assert len(rows) >= 6
    writer = {"csv": Dataset.to_csv, "jsonl": Dataset.to_json, "parquet": Dataset.to_parquet}[ending]
    datasets.disable_progress_bars()
    for split, part in {"train": rows[:4], "validation": rows[4:5], "test": rows[5:]}.items():
        Path("data").mkdir(exist_ok=True)
        writer(Dataset.from_list(part), f"data/{split}.{ending}")
    datasets.enable_progress_bars()
    expected = [(str(row["en"]), str(row["fr"])) for row in rows]
    train, validation, test = hub("data", validation="validation", test="test").splits()
    assert pairs(train) + pairs(validation) + pairs(test) == expected
    assert pairs(hub("data", test="test[:1]").split("test")) == expected[5:6]
    assert given(hub("data", source_column="fr", target_column="en")) == [(t, s) for s, t in expected[:4]]


def test_a_local_data_set_with_swapped_names() -> None:
    put("data/train.jsonl", '{"source": "a", "target": "b"}\n')
    assert given(hub("data", source_column="target", target_column="source")) == [("b", "a")]


def test_a_saved_data_set() -> None:
    saved = Dataset.from_dict({"en": ["a"], "fr": ["b"]})
    DatasetDict({"train": saved}).save_to_disk("saved")
    assert given(hub("saved")) == [("a", "b")]
    assert "save_to_disk" in message(lambda: given(hub("saved/train")))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"train": "tarin"}, ["data", "tarin", "train"]),
        (
            {"source_column": "eng"},
            ["no column 'eng' but 'id', 'en', 'fr'", "did you mean 'en'?", "corpus.source_column"],
        ),
        ({"source_column": "id"}, ["no text in column 'id'", "int64"]),
        ({"source_column": "fr"}, ["'fr' on both sides"]),
        ({"configuration": "absent"}, ["data (absent)", "absent"]),
    ],
)
def test_bad_data_sets(changes: dict[str, Any], parts: list[str]) -> None:
    rows = [{"id": 1, "en": "a", "fr": "b"}, {"id": 2, "en": "c", "fr": "d"}]
    put("data/README.md", "---\nconfigs:\n- config_name: main\n  data_files: train.jsonl\n---\n")
    put("data/train.jsonl", "\n".join(map(json.dumps, rows)))
    text = message(lambda: given(hub("data", **changes)))
    assert [part for part in parts if part not in text] == [], text


@pytest.mark.parametrize("dataset", ["bentrevett/multi30k", "nosuchdataset"])
def test_without_network(monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    text = message(lambda: given(hub(dataset)))
    assert "hub cannot be reached" in text
    assert "corpus=folder corpus.folder=PATH" in text
    assert dataset in text


@pytest.mark.parametrize("dataset", ["./nosuch", "a/b/c", "csv", ""])
def test_names_that_are_no_data_set(monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert "corpus=folder corpus.folder=PATH" in message(lambda: given(hub(dataset)))


def test_code_is_never_run() -> None:
    put("data/data.py", "open('ran', 'w')\n")
    put("data/train.csv", "en,fr\na,b\n")
    assert "scripts are no longer supported" in message(lambda: given(hub("data")))
    assert not Path("ran").exists()


def test_damaged_data_sets() -> None:
    put("data/train.jsonl", '{"en": "a", "fr": "b"}\n{"en": "a\n')
    assert "The data set data cannot be loaded" in message(lambda: given(hub("data")))
    put("bad/train.parquet", "not parquet")
    assert "The data set bad cannot be loaded" in message(lambda: given(hub("bad")))


# --- quiet, and the YAML files


def test_nothing_is_printed() -> None:
    put("data/train.csv", "en,fr\na,b\n"), put("t.tsv", "a\tb\n")
    put("bad/train.parquet", "not parquet")
    code = (
        "from dragoman.text.corpus import Tsv; from dragoman.text.hub import Hub\n"
        "from dragoman.errors import InputError\n"
        f"common = {COMMON!r}\n"
        "rest = dict(validation=None, test=None, **common)\n"
        "Tsv(train='t.tsv', source_column=1, target_column=2, **rest).read('train')\n"
        "for folder in ('data', 'bad'):\n"
        "    columns = dict(source_column='en', target_column='fr')\n"
        "    try: Hub(dataset=folder, configuration=None, train='train', **columns, **rest).read('train')\n"
        "    except InputError: print('one error')\n"
    )
    path = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": path, "HF_DATASETS_CACHE": str(Path("own").absolute())}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert (result.stdout, result.stderr) == ("one error\n", "")


def test_quiet_gives_back_what_it_took() -> None:
    datasets.enable_progress_bars()
    before = False, datasets.logging.get_verbosity()
    given(table(Tsv, put("t.tsv", "a\tb\n"), source_column=1, target_column=2))
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before


NAMES = [
    "csv", "files", "folder", "gettext", "hub", "jsonl", "mix", "multi30k", "parquet", "pocket", "synthetic",
    "tmx", "tsv",
    "xliff", "xlsx",
]  # fmt: skip
KINDS = (Csv, Files, Folder, Gettext, Hub, Jsonl, Mix, Parquet, Pocket, Synthetic, Tmx, Tsv, Xliff, Xlsx)


def test_every_class_has_a_configuration() -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == NAMES
    targets = {OmegaConf.load(CONFIGS / f"{name}.yaml")["_target_"] for name in NAMES}
    assert targets == {f"{kind.__module__}.{kind.__name__}" for kind in KINDS}


@pytest.mark.parametrize("name", NAMES)
def test_configurations_state_every_argument(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    config = OmegaConf.load(path)
    kind = any_class(config.pop("_target_"))
    parameters = inspect.signature(kind).parameters
    assert set(config) == set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters.values())
    comment = path.read_text().split("_target_")[0]
    assert comment.startswith("# ")
    if name != "multi30k":
        assert [key for key in config if str(key) not in comment] == []
    for key in [key for key in config if OmegaConf.is_missing(config, key)]:
        config[key] = "given"
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    if name == "mix":  # empty until a corpus is named
        values["corpora"] = {"one": folder()}
    kind(**values)
