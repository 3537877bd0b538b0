"""Somebody else's run folder or corpus that would take all memory or all time: refused soon, or read as it is."""

import ctypes
import gzip
import io
import lzma
import math
import os
import pickletools
import platform
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import sentencepiece
import torch
import zstandard
from openpyxl import Workbook

from conftest import Runs
from dragoman.errors import InputError
from dragoman.machine import keep_freed_memory
from dragoman.run import Run, read_weights
from dragoman.search import Beam, Greedy, Sampling
from dragoman.text import interchange, lines
from dragoman.text.catalogues import read_gettext
from dragoman.text.interchange import read_tmx, read_xliff, read_xlsx
from dragoman.text.lines import read_lines
from dragoman.text.readers import Pairs, read_csv, read_jsonl, read_parquet, read_tsv
from dragoman.text.tokenizer import SentencePiece
from dragoman.translator import Translator
from dragoman.weights import CALLS, Sparing
from models_for_tests import ATTENTIONS, encoder_decoder, rnnsearch, transformer
from test_strangers import Payload, part, prefixed, target, theirs  # noqa: F401 (a fixture)

Arm = Callable[[Path], object]
SECONDS, MEBIBYTES = 8, 400  # of processor time and of memory that an attack may take: the work itself takes 60 MiB
HIGH_WATER = Path("/proc/self/clear_refs")  # of Linux: writing 5 lets the peak of the memory begin anew


class Taken:
    """The time and the memory that a block takes; memory is 0 where the system does not tell."""

    def __enter__(self) -> "Taken":
        give_back_memory()
        HIGH_WATER.write_text("5") if HIGH_WATER.exists() else None
        self.before, self.began = memory("VmRSS"), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.mebibytes = time.process_time() - self.began, memory("VmHWM") - self.before

    def check(self) -> None:
        assert self.seconds < SECONDS
        assert self.mebibytes < MEBIBYTES


def memory(key: str) -> float:
    if not HIGH_WATER.exists():
        return 0
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def give_back_memory() -> None:
    """To the system, what trainings in this process have kept for themselves: a bomb that fills it would not show."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def test_the_memory_of_a_bomb_would_be_seen() -> None:
    keep_freed_memory()
    filled = bytes(b"x" * (MEBIBYTES << 20))
    del filled
    with Taken() as taken:
        filled = bytes(b"x" * ((MEBIBYTES + 1) << 20))  # 1 more: the kernel's counters lag by some pages
    assert len(filled) > 0
    if HIGH_WATER.exists():
        assert taken.mebibytes >= MEBIBYTES


# --- Run folders ---

LIMITS = {"max_source": 256, "length_ratio": 2.0, "length_extra": 20}
BEAM = target("dragoman.search.Beam", beam=4, nbest=1, length_penalty=1.0, **LIMITS)
SAMPLING = target("dragoman.search.Sampling", temperature=1.0, top_k=0, top_p=1.0, nbest=1, seed=1, **LIMITS)
WINDOW = target("dragoman.attention.SlidingWindow", _partial_=True, window=3, global_tokens=1)
DAMAGED = "best.ckpt is damaged or not a Dragoman checkpoint"
YAML_ONLY = "config.yaml is not plain YAML"
NO_WEIGHTS, NO_TOKENIZER, NO_CONFIG = "holds no weights", "holds no tokenizer", "holds no config.yaml"


class Filling:
    """Unpickled, it is 3 GB of zeros; torch's own list of what weights may call allows it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (3 * 10**9,)


def laughs() -> list[Any]:
    """9 to the power of 29 strings in a few hundred bytes."""
    nest: list[Any] = ["ha"] * 9
    for _ in range(29):
        nest = [nest] * 9
    return nest


def checkpoint(change: Callable[[dict[str, Any]], object]) -> Arm:
    def arm(folder: Path) -> None:
        content = torch.load(folder / "best.ckpt", weights_only=True)
        change(content)
        torch.save(content, folder / "best.ckpt")

    return arm


def weights(change: Callable[[torch.Tensor], torch.Tensor]) -> Arm:
    return checkpoint(lambda c: c.update(weights={name: change(one) for name, one in c["weights"].items()}))


def wide(folder: Path) -> None:
    """A model of 16,384 numbers a word, gigabytes, whose tensors are one number repeated by a stride of 0."""
    part("model.dim", 16384)(folder)
    part("model.feed_forward_dim", 16384)(folder)
    from dragoman.run import _build_model

    with torch.device("meta"):
        sizes = {name: one.shape for name, one in _build_model(Run(folder).config["model"]).state_dict().items()}
    checkpoint(lambda c: c.update(weights={name: torch.zeros(1).expand(size) for name, size in sizes.items()}))(folder)


def one_for_all(content: dict[str, Any]) -> None:
    """A tensor of 4 MB under 500 names."""
    once = torch.zeros(1 << 20)
    content["weights"] |= {f"decoder.{number}.x": once for number in range(500)}


def repacked(
    change: Callable[[str, bytes], bytes] = lambda _, content: content,
    how: int = zipfile.ZIP_STORED,
    more: Callable[[zipfile.ZipFile], object] = lambda _: None,
) -> Arm:
    """The same archive with other parts, or otherwise packed."""

    def arm(folder: Path) -> None:
        with zipfile.ZipFile(folder / "best.ckpt") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(folder / "best.ckpt", "w", how) as archive:
            for name, content in parts.items():
                archive.writestr(name, change(name, content))
            more(archive)

    return arm


def zeros(archive: zipfile.ZipFile) -> None:
    with archive.open("archive/data/999", "w", force_zip64=True) as file:
        for _ in range(300):
            file.write(bytes(1 << 20))


def endless(name: str, content: bytes) -> bytes:
    """Every storage says that it has 2³¹ - 1 numbers."""
    if not name.endswith("data.pkl"):
        return content
    operations = [(operation.name, place) for operation, _, place in pickletools.genops(content)]
    changed, spliced = content, 0
    for index, (name, _) in reversed([*enumerate(operations)]):
        if name == "BINPERSID":
            last = next(one for one in range(index, 0, -1) if operations[one][0].startswith("BININT"))
            here, behind = operations[last][1], operations[last + 1][1]
            changed = changed[:here] + struct.pack("<ci", b"J", 2**31 - 1) + changed[behind:]
            spliced += 1
    assert spliced > 5
    return changed


def declared(folder: Path) -> None:
    """The archive's own table says of each part that it unpacks to 4 GiB less one."""
    content = bytearray((folder / "best.ckpt").read_bytes())
    for found in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[found.start() + 24 : found.start() + 28] = b"\xfe\xff\xff\xff"
    (folder / "best.ckpt").write_bytes(content)


def pipe(name: str) -> Arm:
    return lambda folder: ((folder / name).unlink(), os.mkfifo(folder / name))


def link(name: str, to: str) -> Arm:
    return lambda folder: ((folder / name).unlink(), (folder / name).symlink_to(to))


def tokenizer(rules: str, **settings: Any) -> Arm:
    """A new one; `rules` are those of normalisation, in SentencePiece's own form."""

    def arm(folder: Path) -> None:
        (folder / "rules.tsv").write_text(rules)
        made = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["b c d e f g h"] * 9), model_writer=made, vocab_size=20, hard_vocab_limit=False,
            pad_id=0, bos_id=1, eos_id=2, unk_id=3, normalization_rule_tsv=str(folder / "rules.tsv"),
            minloglevel=3, **settings,
        )  # fmt: skip
        (folder / "tokenizer.model").write_bytes(made.getvalue())

    return arm


def other_size(folder: Path) -> None:
    settings: dict[str, Any] = {"model_type": "bpe", "joint": True, "byte_fallback": True, "character_coverage": 1.0}
    text = [f"word{number} and others" for number in range(500)]
    SentencePiece(vocab_size=450, symbols=None, normalisation=None, **settings).train(text, text).save(folder)


NAN = float("nan")
RUNS: dict[str, tuple[Arm, str]] = {
    "encoder layers": (part("model.encoder_layers", 10**9), "does not fit"),
    "decoder layers": (part("model.decoder_layers", 10**12), "does not fit"),
    **{
        f"max_length {size}": (part("model.max_length", size), r"`max_length` \(\d+\) must be between 1 and 65536")
        for size in (10**6, 10**8, 10**9, 10**12)
    },
    **{
        f"{key} {size}": (part(f"model.{key}", size), "does not fit|must be a multiple|but a model for")
        for key in ("dim", "num_heads", "num_kv_heads", "feed_forward_dim", "source_vocab_size", "target_vocab_size")
        for size in (10**9, 10**18)
    },
    "beam": (part("search", BEAM | {"beam": 10**9}), r"`beam` \(1000000000\) must be at least 1 and at most 1000"),
    "n-best": (part("search", SAMPLING | {"nbest": 10**9}), "`nbest`.* at most 10000"),
    "length penalty": (part("search", BEAM | {"length_penalty": 1e300}), "`length_penalty`.* at most 5"),
    "no penalty": (part("search", BEAM | {"length_penalty": NAN}), "`length_penalty` .nan."),
    "no ratio": (part("search.length_ratio", NAN), "`length_ratio` .nan."),
    "no temperature": (part("search", SAMPLING | {"temperature": NAN}), "`temperature` .nan."),
    "cold": (part("search", SAMPLING | {"temperature": 1e-310}), "`temperature`.* between"),
    "hot": (part("search", SAMPLING | {"temperature": math.inf}), "`temperature` .inf."),
    "no top_p": (part("search", SAMPLING | {"top_p": NAN}), "`top_p` .nan."),
    "longest source": (part("search.max_source", 10**12), "must not exceed the model's"),
    "window of 31 digits": (part("model.encoder_attention", WINDOW | {"window": 10**30}), YAML_ONLY),
    "5,000 digits": (prefixed(f"x: {'9' * 5000}\n"), YAML_ONLY),
    "hexadecimal": (prefixed(f"x: 0x{'f' * 5000}\n"), YAML_ONLY),
    "base 60": (prefixed(f"x: {':'.join(['1'] * 50_000)}\n"), YAML_ONLY),
    "no date": (prefixed("x: 2001-99-99\n"), YAML_ONLY),
    "no float": (prefixed("x: !!float zz\n"), YAML_ONLY),
    "no integer": (prefixed("x: !!int zz\n"), YAML_ONLY),
    "no base 64": (prefixed("x: !!binary zz\n"), YAML_ONLY),
    "30 MB of YAML": (prefixed(f"# {'x' * 30_000_000}\n"), "is larger than 256 KiB"),
    "a million keys": (prefixed(f"x: [{'1, ' * 1_000_000}1]\n"), "is larger than 256 KiB"),
    "YAML, deep": (prefixed(f"x: {'[' * 100_000}\n"), YAML_ONLY),
    "weights by stride": (wide, DAMAGED),
    "one tensor, many names": (checkpoint(one_for_all), DAMAGED),
    "bytearray": (checkpoint(lambda c: c.update(x=Filling())), DAMAGED),
    "payload": (checkpoint(lambda c: c.update(x=Payload())), DAMAGED),
    "sparse": (weights(lambda one: one.to_sparse()), DAMAGED),
    "laughs as weights": (checkpoint(lambda c: c.update(weights=laughs())), DAMAGED),
    "laughs as format": (checkpoint(lambda c: c.update(format=laughs())), DAMAGED),
    "tensor as format": (checkpoint(lambda c: c.update(format=torch.zeros(3))), DAMAGED),
    "huge format": (checkpoint(lambda c: c.update(format=10**600)), DAMAGED),
    "compressed": (repacked(how=zipfile.ZIP_DEFLATED), DAMAGED),
    "zip bomb": (repacked(how=zipfile.ZIP_DEFLATED, more=zeros), DAMAGED),
    "declared sizes": (declared, DAMAGED),
    "parts outside": (repacked(more=lambda archive: archive.writestr("../canary", b"")), DAMAGED),
    "20 GB of nothing": (lambda folder: os.truncate(folder / "best.ckpt", 20 << 30), DAMAGED),
    "weights: a pipe": (pipe("best.ckpt"), NO_WEIGHTS),
    "weights: /dev/zero": (link("best.ckpt", "/dev/zero"), NO_WEIGHTS),
    "weights: itself": (link("best.ckpt", "best.ckpt"), NO_WEIGHTS),
    "weights: /etc/passwd": (link("best.ckpt", "/etc/passwd"), DAMAGED),
    "weights: a folder": (link("best.ckpt", "/"), NO_WEIGHTS),
    "tokenizer: a pipe": (pipe("tokenizer.model"), NO_TOKENIZER),
    "tokenizer: /dev/zero": (link("tokenizer.model", "/dev/zero"), NO_TOKENIZER),
    "tokenizer: /etc/passwd": (link("tokenizer.model", "/etc/passwd"), "is not a SentencePiece model"),
    "tokenizer: 3 GB": (lambda folder: os.truncate(folder / "tokenizer.model", 3 << 30), "is larger than 16 MiB"),
    "tokenizer: another size": (other_size, "tokenizer of 450 pieces, but a model for 400"),
    "tokenizer: long rules": (tokenizer(f"61\t{' '.join(['78'] * 100_000)}\n"), "is not a SentencePiece model"),
    "tokenizer: a long piece": (
        tokenizer("61\t78\n", user_defined_symbols=["x" * 100_000]), "is not a SentencePiece model"
    ),
    "config: a pipe": (pipe("config.yaml"), NO_CONFIG),
    "config: /dev/zero": (link("config.yaml", "/dev/zero"), NO_CONFIG),
    "config: /etc/passwd": (link("config.yaml", "/etc/passwd"), "config.yaml is not"),
}  # fmt: skip


@pytest.mark.parametrize("attack", RUNS)
def test_a_run_that_would_take_all_is_refused(theirs: Path, attack: str) -> None:  # noqa: F811
    arm, message = RUNS[attack]
    arm(theirs)
    with Taken() as taken, pytest.raises(InputError) as caught:
        Translator.load(theirs)(["The hen runs."])
    taken.check()
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert not list(theirs.parent.rglob("canary"))


LARGE = 2**62
LINE = "The hen runs. " * 5  # of more tokens than four windows, where attention to a window goes by blocks
ODD: dict[str, Arm] = {
    "no end": part("search.length_ratio", math.inf),
    "long": part("search.length_extra", LARGE),
    "longer": part("search.length_ratio", 1e300),
    "wide window": part("model.encoder_attention", WINDOW | {"window": LARGE}),
    "all are global": part("model.encoder_attention", WINDOW | {"global_tokens": LARGE}),
    "top_k": part("search", SAMPLING | {"top_k": LARGE, "seed": LARGE}),
    "hardly any temperature": part("search", SAMPLING | {"temperature": 1e-6}),
    "a link to our own": lambda folder: (
        (folder / "best.ckpt").rename(folder.parent / "elsewhere"),
        (folder / "best.ckpt").symlink_to("../elsewhere"),
    ),
    "storages without end": repacked(endless),
    "a run elsewhere": lambda folder: [part(key, "../canary")(folder) for key in ("run_dir", "name", "suffix")],
}  # fmt: skip


@pytest.mark.parametrize("attack", ODD)
def test_a_run_that_is_odd_translates_a_line_to_a_line(theirs: Path, attack: str) -> None:  # noqa: F811
    whole = Translator.load(theirs)
    assert len(whole.tokenizers.source.encode(LINE)) > 4 * WINDOW["window"]
    plain = whole([LINE])
    ODD[attack](theirs)
    with Taken() as taken:
        found = Translator.load(theirs)([LINE, ""])
    taken.check()
    assert len(found) == 2
    assert not any("\n" in line for line in found)
    if attack in ("a link to our own", "storages without end", "a run elsewhere"):
        assert found[:1] == plain
    assert not list(theirs.parent.rglob("canary"))


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, 1e38, 0.0])
def test_weights_of_any_value_end_every_search(theirs: Path, value: float) -> None:  # noqa: F811
    weights(lambda one: torch.full_like(one, value))(theirs)
    limits: dict[str, Any] = {"max_source": 64, "length_ratio": 1.0, "length_extra": 3}
    for search in (
        Greedy(**limits),
        Beam(beam=3, nbest=2, length_penalty=1.0, **limits),
        Sampling(temperature=1.0, top_k=0, top_p=0.9, nbest=2, seed=1, **limits),
    ):
        found = list(Translator.load(theirs, search=search).translate(["The hen runs.", "", "It slept."]))
        assert [len(one) for one in found] == [search.nbest, 1, search.nbest]


def test_scores_that_are_deep_are_refused(theirs: Path) -> None:  # noqa: F811
    (theirs / "scores.json").write_text("[" * 1_000_000)
    with pytest.raises(InputError, match=r"scores\.json is damaged"):
        Run(theirs).scores()


def test_the_bytes_behind_a_file_are_out_of_reach(theirs: Path) -> None:  # noqa: F811
    """A tensor that says it is longer than its file is refused, and not read from whatever lies behind in memory."""
    checkpoint(lambda c: c.update(weights={"a": torch.zeros(100_000)}))(theirs)
    repacked(lambda name, content: content[:64] if name.endswith("/data/0") else content)(theirs)
    with pytest.raises(InputError, match=DAMAGED):
        read_weights(theirs / "best.ckpt")


def test_models_of_every_kind_are_made_with_few_calls() -> None:
    """Far fewer than the limit that stops layers without end."""
    makers = [*(lambda name=name: transformer(attention=name) for name in ATTENTIONS), rnnsearch, encoder_decoder]
    makers += [lambda: transformer(positions="rotary", feed_forward="swiglu"), lambda: transformer(feed_forward="none")]
    for make in makers:
        tensors = len(make().state_dict())
        with Sparing(tensors) as counted:
            make()
        assert counted.calls > CALLS * tensors / 2


# --- Corpora ---

UNIT = '<tu><tuv xml:lang="en"><seg{}>{}</seg></tuv><tuv xml:lang="fr"><seg>x</seg></tuv></tu>'
LOL = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LONG = f'<!ENTITY a "{"A" * 1_000_000}">'
SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
CELL = '<c r="{}" t="inlineStr"><is><t>{}</t></is></c>'


def memory_of(units: str, entities: str = "") -> bytes:
    head = f"<!DOCTYPE tmx [{entities}]>" if entities else ""
    return f'<?xml version="1.0"?>{head}<tmx><body>{units}</body></tmx>'.encode()


def sheet(rows: str, entities: str = "", size: str = "") -> Callable[[], bytes]:
    """A spreadsheet whose rows are these."""

    def make() -> bytes:
        stream, book = io.BytesIO(), Workbook()
        book.save(stream)
        with zipfile.ZipFile(stream) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        head = f'<?xml version="1.0"?><!DOCTYPE worksheet [{entities}]>' if entities else ""
        text = f"{head}<worksheet {SHEET}>{size}<sheetData>{rows}</sheetData></worksheet>"
        parts["xl/worksheets/sheet1.xml"] = text.encode()
        with zipfile.ZipFile(stream := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return stream.getvalue()

    return make


def row(number: int, cell: str = "A", text: str = "x") -> str:
    return f'<row r="{number}">{CELL.format(f"{cell}{number}", text)}{CELL.format(f"B{number}", "y")}</row>'


def catalogue(count: int, *spans: int) -> bytes:
    """A MO file that says it has so many messages, whose texts are these."""
    return struct.pack("<7I", 0x950412DE, 0, count, 28, 28, 0, 28) + struct.pack(f"<{len(spans)}I", *spans)


def repeated() -> bytes:
    """3,000 rows in which the same sentence of 1 MB stands, in a file of a few KB."""
    indices = pyarrow.array([0] * 3000, pyarrow.int32())
    column = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(["x" * 1_000_000]))
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"en": column, "fr": column}), stream, compression="zstd")
    return stream.getvalue()


def tmx(path: Path) -> Pairs:
    return read_tmx(path, "en", "fr")


def spreadsheet(path: Path) -> Pairs:
    return read_xlsx(path, None, 1, 2)


def gettext(path: Path) -> Pairs:
    return read_gettext(path, "en", "en", "fr")


Read = Callable[[Path], Any]
CORPORA: dict[str, tuple[Read, bytes | Callable[[], bytes], str | None]] = {
    "laughs.tmx": (tmx, memory_of(UNIT.format("", "&l9;"), LOL), "is not expanded|unfold into far more"),
    "laughs attribute.tmx": (tmx, memory_of(UNIT.format(' a="&l9;"', "x"), LOL), "unfold into far more"),
    "quadratic.tmx": (tmx, memory_of(UNIT.format("", "&a;" * 1000), LONG), "is not expanded|unfold into far more"),
    "quadratic attribute.tmx": (tmx, memory_of(UNIT.format(f' a="{"&a;" * 1000}"', "x"), LONG), "unfold into far more"),
    "deep.tmx": (tmx, memory_of(UNIT.format("", "<hi>" * 100_000)), "not well-formed"),
    "outer definition.tmx": (
        tmx, b'<!DOCTYPE tmx SYSTEM "file:///dev/zero">' + memory_of(UNIT.format("", "x"))[21:], None
    ),
    "outer parameter.tmx": (
        tmx, memory_of(UNIT.format("", "x"), '<!ENTITY % x SYSTEM "file:///dev/zero"> %x;'), None
    ),
    "outer file.tmx": (tmx, memory_of(UNIT.format("", "&x;"), '<!ENTITY x SYSTEM "/etc/passwd">'), "not expanded"),
    "included.tmx": (
        tmx,
        memory_of(UNIT.format("", '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>')),
        "no unit with both",
    ),
    "comments.tmx.gz": (tmx, lambda: gzip.compress(memory_of("<!-- x -->" * 200_000)), "over 1 MiB without"),
    "no units.tmx.xz": (tmx, lambda: lzma.compress(memory_of("<p>x</p>" * 200_000)), "over 1 MiB without"),
    "one unit.tmx.zst": (
        tmx, lambda: zstandard.compress(memory_of(UNIT.format("", "<b/>" * 400_000))), "over 1 MiB without"
    ),
    "long text.tmx.gz": (tmx, lambda: gzip.compress(memory_of(UNIT.format("", "x" * 30_000_000))), "over 1 MiB|long"),
    "laughs.xlf": (
        lambda path: read_xliff(path, "en", "fr"),
        f'<!DOCTYPE xliff [{LOL}]><xliff><trans-unit><source>&l9;</source></trans-unit></xliff>'.encode(),
        "is not expanded|unfold into far more|no unit",
    ),
    "laughs.xlsx": (spreadsheet, sheet(row(1, text="&l9;"), LOL), "cannot be read as a spreadsheet"),
    "outer file.xlsx": (
        spreadsheet, sheet(row(1, text="&x;"), '<!ENTITY x SYSTEM "/etc/passwd">'), "cannot be read as a spreadsheet"
    ),
    "wide and long.xlsx": (
        spreadsheet, sheet(row(1) + row(1 << 20), size='<dimension ref="A1:XFD1048576"/>'), None
    ),
    "far row.xlsx": (spreadsheet, sheet(row(1) + row(10**12)), "more than 1,048,576 rows"),
    "far column.xlsx": (spreadsheet, sheet(row(1, cell="ZZZZZZ")), "cannot be read as a spreadsheet"),
    "many.mo": (gettext, catalogue(0xFFFFFFFF), "ends inside an entry"),
    "long.mo": (gettext, catalogue(1, 0x7FFFFFFF, 0), "ends inside an entry"),
    "overlap.mo": (gettext, catalogue(20_000, *(160_000, 28) * 20_000), "texts overlap"),
    "codec.po": (gettext, b'msgid ""\nmsgstr "Content-Type: text/plain; charset=zlib_codec\\n"\n', None),
    "repeated.parquet": (lambda path: read_parquet(path, "en", "fr"), repeated, None),
    "deep.jsonl": (lambda path: read_jsonl(path, "en", "fr"), b'{"en":' + b"[" * 3_000_000, "is not JSON"),
    "digits.jsonl": (lambda path: read_jsonl(path, "en", "fr"), b'{"en":' + b"9" * 1_000_000 + b"}", "is not JSON"),
    "open quote.csv": (lambda path: read_csv(path, ",", 1, 2), b'"' + b"a\n" * 1_000_000, "field larger than"),
    "tabs.tsv": (lambda path: read_tsv(path, 1, 2), b"\t" * 1_000_000, None),
    **{
        f"line.txt.{suffix}": (read_lines, lambda pack=pack: pack(bytes(40 << 20)), "over 1 MiB")
        for suffix, pack in (("gz", gzip.compress), ("xz", lzma.compress), ("zst", zstandard.compress))
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_that_would_take_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(interchange, "LARGEST_UNIT", 1 << 20)
    monkeypatch.setattr(lines, "LONGEST", 1 << 20 if name.startswith("line") else lines.LONGEST)
    read, content, message = CORPORA[name]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    said = ""
    with Taken() as taken:
        try:
            for _ in read(path):
                pass
        except InputError as error:
            said = str(error)
    taken.check()
    assert bool(said) == (message is not None), said
    assert re.search(message or "", said), said
    assert "\n" not in said


def test_there_are_many_attacks(trained: Runs) -> None:
    assert len(RUNS) > 60
    assert len(CORPORA) > 30
