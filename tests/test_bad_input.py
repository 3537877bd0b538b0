"""Whatever is wrong with what the user gives: one sentence, status 1, nothing on stdout, nothing touched.

Every case goes through the door of the scripts, most of them in this process; one of each kind in a real one.
"""

import errno
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml

from conftest import Runs
from dragoman import files
from dragoman.text.lines import read_lines
from scripts_for_tests import (
    SCRIPTS,
    TINY,
    Answer,
    call,
    environment,
    finish,
    next_line,
    run,
    start,
    tree,
    write_corpus,
)

CLASS_NAME = re.compile(r"\s*([\w.]+\.)?\w*(Error|Exception|Warning)\b")


pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def hurt(trained: Runs, place: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    shutil.copytree(trained.first, place / "hurt")
    return Path("hurt")


def sentence(answer: Answer) -> str:
    """The one sentence of a refusal: the last line of stderr; before it may stand what was done so far."""
    assert answer.status == 1, answer
    assert answer.out == ""
    assert answer.err.endswith("\n")
    assert "Traceback" not in answer.err
    said = answer.err.splitlines()[-1]
    assert not CLASS_NAME.match(said), said
    assert said.endswith((".", "?", "!")), said
    assert len(said) < 1000
    return said


def refused(script: str, *arguments: str, given: str | bytes = b"") -> str:
    """The sentence, once nothing in the working folder has changed."""
    before = tree(Path())
    said = sentence(call(script, *arguments, given=given))
    assert tree(Path()) == before
    return said


# --- Settings of a training ---

SETTINGS = {
    "data.batch_tokens=1": r"`data.batch_tokens` \(1\) must hold a sentence of `data.max_length` \(256\)",
    "data.batch_tokens=many": "`data.batch_tokens` is 'many', but must be a whole number, at least 1",
    "data.max_length=0": "`data.max_length` is 0",
    "data.max_length=2": "No pair of the train split can be used",
    "data.max_length=5000": r"`data.max_length` \(5000\) must not exceed `model.max_length` \(1024\)",
    "trainer.max_steps=0": "`trainer.max_steps` is 0, but must be a whole number, at least 1",
    "trainer.max_steps=1.5": "`trainer.max_steps` is 1.5",
    "trainer.max_steps=null": "`trainer.max_steps` is None",
    "trainer.val_check_interval=0": "`trainer.val_check_interval` is 0",
    "trainer.accumulate_grad_batches=0": "`trainer.accumulate_grad_batches` is 0",
    "trainer.accelerator=abacus": "trainer: .*abacus",
    "trainer.precision=8": r"`trainer.precision` \(8\) must be auto or one of 32-true",
    "trainer.precision=16-mixed": "`trainer.precision` is 16-mixed, which CPUs do not",
    "trainer.devices=0": "trainer: .*devices=0",
    "+trainer.colour=red": "trainer: Trainer knows no key 'colour'",
    "callbacks.checkpoints.average=0": r"`average` \(0\) must be at least 1",
    "callbacks.checkpoints.choose=worst": r"`choose` \(worst\) best or last",
    "callbacks.progress.every=0": r"`every` \(0\) must be at least 1",
    "callbacks=early_stopping callbacks.early_stopping.monitor=blue": r"`monitor` \(blue\) must be one of bleu",
    "~seed": "There must be a `seed`",
    "validation=null": "There must be a `validation.sentences`",
    "model.max_length=null": "`model.max_length` is None, but must be a whole number",
    "validation.search=null": "`validation.search` must be a search",
    "optimizer.betas=3": "optimizer or schedule: ",
    "trainer.devices=some": "trainer: ",
    "label_smoothing=2": "`label_smoothing` is 2, but must be a number, between 0 and 1",
    "label_smoothing=-0.1": "`label_smoothing` is -0.1",
    "label_smoothing=some": "`label_smoothing` is 'some'",
    "seed=-1": "`seed` is -1",
    "seed=one": "`seed` is 'one'",
    "num_workers=-1": "`num_workers` is -1",
    "validation.sentences=0": "`validation.sentences` is 0",
    "test_sentences=-1": "`test_sentences` is -1",
    "name=": "`name` is empty, but the run needs a folder",
    "run_dir=": "`run_dir` is empty, but the run needs a folder",
    "examples=[5]": r"`examples` is \[5\], but must be null or a list of sentences",
    "model.dropout=1.5": r"model: A dropout probability \(1.5\)",
    "model.dropout=some": "model: `dropout` is 'some', but must be a number",
    "model.attention_dropout=1": r"`attention_dropout` \(1\) must be at least 0 and less than 1",
    "model.num_heads=0": "`num_heads`.* must be at least 1",
    "model.num_heads=3": r"`dim` \(64\) must be a multiple of `num_heads` \(3\)",
    "model.dim=wide": "model: `dim` is 'wide', but must be a whole number",
    "model.dim=64.0": "model: `dim` is 64.0, but must be a whole number",
    "model.dim=-64": "must be at least 1",
    "model.norm=mid": r"`norm` \(mid\) must be one of pre, post",
    "model.positions=polar": r"`positions` \(polar\) must be one of sinusoidal, learned, rotary, alibi, none",
    "model.max_length=100": r"`data.max_length` \(256\) must not exceed `model.max_length` \(100\)",
    "model.source_vocab_size=7": "`model.source_vocab_size` is 7, but the source tokenizer has 400 pieces",
    "optimizer.lr=-1": "Invalid learning rate: -1",
    "optimizer.lr=fast": "optimizer: `lr` is 'fast', but must be a number",
    "schedule.warmup_steps=-1": r"`warmup_steps` \(-1\) must be at least 0",
    "schedule=cosine schedule.warmup_steps=500 max_steps=100": r"`total_steps` \(100\) must be greater",
    "search.length_extra=0": r"`length_extra` \(0\) at least 1",
    "search.max_source=5000": r"`search.max_source` \(5000\) must not exceed `model.max_length` \(1024\)",
    "validation.search.max_source=5000": r"`validation.search.max_source` \(5000\) must not exceed",
    "search=beam search.beam=0": r"`beam` \(0\) must be at least 1",
    "search=beam search.beam=2 search.nbest=3": r"`nbest` \(3\) between 1 and `beam`",
    "tokenizer.vocab_size=100000": r"`tokenizer.vocab_size` \(100000\) is larger than this corpus .* \d+ or less",
    "tokenizer.vocab_size=300": r"`tokenizer.vocab_size` \(300\) is too small .* set it to more than \d+",
    "tokenizer.vocab_size=0": r"`vocab_size` \(0\) must be at least 1",
    "tokenizer.character_coverage=2": r"`character_coverage` \(2\) between 0.98 and 1",
    "corpus.folder=nowhere": "nowhere/train.en is not a file, nor is it with .gz, .xz, .zst behind it",
    "corpus.source_language=xx": "data/train.xx is not a file, nor",
    "corpus.source_language=7": "corpus: `source_language` is 7, but must be text",
    "corpus.train=[train,more]": "data/more.en is not a file, nor",
    "corpus.test=null corpus.test_size=0": "corpus.test_size is 0",
    "run_dir=data/train.en": "data/train.en",
    "run_dir=data/train.en/run": "data/train.en/run",
    "model.dims=3": 'There is no key "model.dims"; did you mean model.dim',
    "colour=red": 'There is no key "colour"',
    "model=transformr": '"transformr" is not a choice of model',
    "experiment=smal": '"smal" is not a choice of experiment .*did you mean small',
    "swap=sparce": '"sparce" is not a choice of swap',
    "search=been": '"been" is not a choice of search',
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_training_that_cannot_be_is_refused_before_it_leaves_anything(settings: str) -> None:
    write_corpus(Path("data"))
    said = refused("train", *TINY, "corpus.folder=data", "name=x", "run_dir=run", *settings.split())
    assert re.search(SETTINGS[settings], said), said


def test_a_gpu_that_is_not_there_is_missed_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(Path("data"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    said = refused("train", *TINY, "corpus.folder=data", "name=x", "run_dir=run", "trainer=gpu")
    assert re.search("`trainer.accelerator` is gpu, but torch .* finds no GPU: choose trainer=cpu", said), said


def test_a_split_may_be_cut_off_by_null_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(Path("data"))
    for name in ("val.en", "val.fr", "test.en", "test.fr"):
        Path("data", name).unlink()
    cut = ["corpus.validation=null", "corpus.validation_size=10", "corpus.test=null", "corpus.test_size=5"]
    answer = call("train", *TINY, "corpus.folder=data", "trainer=debug", "name=x", "run_dir=run", *cut)
    assert answer.status == 0, answer.err
    assert "train: 285 pairs" in answer.err
    assert len(list(read_lines("run/source.txt"))) == 5


# --- Files ---

CORPORA: dict[str, tuple[Callable[[Path], object], str]] = {
    "shorter": (lambda data: cut_lines(data / "train.fr", 7), r"data/train.en has 300 lines and data/train.fr has 293"),
    "longer": (lambda data: add(data / "val.fr", b"de trop\n"), r"data/val.en has 40 lines and data/val.fr has 41"),
    "latin-1": (
        lambda data: add(data / "val.en", b"summer\n") or add(data / "val.fr", "été\n".encode("latin-1")),
        r"data/val.fr, line 41: target: byte 1 of the text \(0xE9\) is not UTF-8.*iconv -f LATIN1",
    ),
    "utf-16": (
        lambda data: (data / "test.en").write_bytes("The hen.\n".encode("utf-16")),
        r"data/test.en, line 1: .*iconv -f UTF-16",
    ),
    "empty": (lambda data: empty(data / "train.en", data / "train.fr"), "train.fr.* holds no sentence pair"),
    "empty validation": (lambda data: empty(data / "val.en", data / "val.fr"), "val.fr.* holds no sentence pair"),
    "blank": (lambda data: blank(data / "train.en", data / "train.fr"), "None of the 200 training .* empty 200"),
    "missing": (lambda data: (data / "val.fr").unlink(), r"data/val.fr is not a file, nor is it with"),
    "folder": (lambda data: shutil.move(data / "val.fr", data / "moved") and (data / "val.fr").mkdir(), "data/val.fr"),
    "cut gzip": (lambda data: pack(data / "test.fr", keep=300), "data/test.fr.gz, line .* gzip data are damaged"),
    "no gzip": (lambda data: os.rename(data / "val.en", data / "val.en.gz"), "data/val.en.gz, line 1: the gzip data"),
}  # fmt: skip


def cut_lines(path: Path, count: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-count]))


def add(path: Path, line: bytes) -> None:
    path.write_bytes(path.read_bytes() + line)


def empty(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(b"")


def blank(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(b" \n\n" * 100)


def pack(path: Path, keep: int) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:keep])
    path.unlink()


@pytest.mark.parametrize("damage", CORPORA)
def test_a_damaged_corpus_is_named_with_its_file_and_line(damage: str) -> None:
    hurt, message = CORPORA[damage]
    hurt(write_corpus(Path("data")))
    said = refused("train", *TINY, "corpus.folder=data", "trainer=debug", "name=x", "run_dir=run")
    assert re.search(message, said), said


TEXTS: dict[str, tuple[list[str], str]] = {
    "missing source": (["source=nowhere.txt"], "nowhere.txt does not exist"),
    "folder as source": (["source=data"], "data is a folder where a file is needed"),
    "not UTF-8": (["source=latin.txt"], "latin.txt, line 2: byte 5 of the line"),
    "not gzip": (["source=false.gz"], "false.gz, line 1: the gzip data are damaged"),
    "folder as target": (["source=good.txt", "target=data"], "data is a folder or a device"),
    "no folder for the target": (["source=good.txt", "target=no/such/out.txt"], "no/such/out.txt cannot be written"),
    "file as folder": (["source=good.txt", "target=good.txt/out.txt"], "good.txt/out.txt cannot be written"),
    "half-way": (["source=latin.txt", "target=kept.txt"], "latin.txt, line 2"),
    "beam 0": (["text=x", "search=beam", "search.beam=0"], r"`beam` \(0\) must be at least 1"),
    "nbest": (["text=x", "search=beam", "search.beam=2", "search.nbest=3"], r"`nbest` \(3\)"),
    "hot": (["text=x", "search=sample", "search.temperature=0"], r"`temperature` \(0\)"),
    "top_p": (["text=x", "search=sample", "search.top_p=1.5"], r"`top_p` \(1.5\)"),
    "word for number": (["text=x", "search=greedy", "search.length_extra=x"], "search: `length_extra` is 'x'"),
    "too far": (["text=x", "search=greedy", "search.max_source=2000"], r"`max_length` \(1024\)"),
    "no device": (["text=x", "device=abacus"], "`device` .abacus."),
    "batch_tokens": (["text=x", "batch_tokens=0"], "`batch_tokens` .0. must be at least 1"),
    "batch_tokens word": (["text=x", "batch_tokens=some"], "`batch_tokens`"),
    "chunk": (["text=x", "chunk=0"], "`chunk` .0. must be at least 1"),
    "no search": (["text=x", "search=beem"], '"beem" is not a choice of search'),
    "no key": (["txt=x"], 'There is no key "txt"; did you mean text'),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_a_translation_that_cannot_be_is_refused(trained: Runs, case: str) -> None:
    write_corpus(Path("data"))
    Path("good.txt").write_text("The hen.\n")
    Path("latin.txt").write_bytes(b"The hen.\ncaf\xe9 \xe9\n".replace(b"caf\xe9 ", b"cafe"))
    Path("false.gz").write_text("The hen.\n")
    Path("kept.txt").write_text("what was there before\n")
    arguments, message = TEXTS[case]
    said = refused("translate", f"run={trained.first}", *arguments)
    assert re.search(message, said), said


def test_streams_that_are_closed_are_no_bug_of_ours(trained: Runs) -> None:
    Path("good.txt").write_text("The hen.\n")
    command = f"{sys.executable} {SCRIPTS / 'translate.py'} run={trained.first}"
    for end, status, message in (
        (" source=good.txt target=out.txt >&-", 0, ""),
        (" <&-", 1, "Standard input is closed: give `text=` or `source=`.\n"),
    ):
        found = subprocess.run(["bash", "-c", command + end], env=environment(), capture_output=True, text=True)
        assert (found.returncode, found.stderr) == (status, message)
    assert Path("out.txt").read_text().count("\n") == 1


def test_lines_before_a_damaged_one_are_not_lost_on_standard_input(trained: Runs) -> None:
    answer = call("translate", f"run={trained.first}", "chunk=1", given=b"The hen.\n\xff\n")
    assert answer.status == 1
    assert len(answer.out.split("\n")) == 2
    assert "standard input, line 2: byte 1 of the line (0xFF) is not UTF-8" in answer.err


EVALUATIONS: dict[str, tuple[list[str], str]] = {
    "one file": (["source=a.en"], "Give both `source=` and `reference=`"),
    "the other": (["reference=a.fr"], "Give both `source=` and `reference=`"),
    "unequal": (["source=a.en", "reference=longer.fr"], "a.en has 1 lines and longer.fr has 2"),
    "empty": (["source=empty.en", "reference=empty.en"], "empty.en and empty.en are empty"),
    "missing": (["source=a.en", "reference=no.fr"], "no.fr does not exist"),
    "output is a file": (["source=a.en", "reference=a.fr", "output=a.fr"], "a.fr"),
    "output below a file": (["source=a.en", "reference=a.fr", "output=a.fr/x"], "a.fr/x"),
    "batch_tokens": (["source=a.en", "reference=a.fr", "batch_tokens=-5"], "`batch_tokens` .-5. must be at least 1"),
    "precision": (["source=a.en", "reference=a.fr", "precision=int4"], "`precision` .int4. must be one of fp32"),
    "ensemble": (["run=[RUN,RUN]"], "Give `output=`: the scores of an ensemble belong into no run's folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", EVALUATIONS)
def test_an_evaluation_that_cannot_be_is_refused(hurt: Path, case: str) -> None:
    for name, text in {"a.en": "The hen.\n", "a.fr": "La poule.\n", "longer.fr": "La\nLe\n", "empty.en": ""}.items():
        Path(name).write_text(text)
    arguments, message = EVALUATIONS[case]
    said = refused("evaluate", f"run={hurt}", *(argument.replace("RUN", str(hurt)) for argument in arguments))
    assert re.search(message, said), said


# --- Run folders ---


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")


def reweigh(folder: Path, change: Callable[[dict], object]) -> None:
    content = torch.load(folder / "best.ckpt", weights_only=True)
    change(content)
    torch.save(content, folder / "best.ckpt")


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def shorten(name: str, keep: float) -> Callable[[Path], object]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return cut


def noise(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(random.Random(1).randbytes(20_000))


def each(*harms: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [harm(folder) for harm in harms]


def flip(name: str) -> Callable[[Path], object]:
    """A bit in the middle of a file."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 0x10
        (folder / name).write_bytes(content)

    return change


RUNS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda run: shutil.rmtree(run), "There is no run folder hurt"),
    "a file": (lambda run: (shutil.rmtree(run), run.write_text("x")), "There is no run folder hurt"),
    "no config": (lambda run: (run / "config.yaml").unlink(), "hurt is not a run folder: it holds no config.yaml"),
    "config a folder": (lambda run: ((run / "config.yaml").unlink(), (run / "config.yaml").mkdir()), "holds no config"),
    "config empty": (overwrite("config.yaml", b""), "hurt/config.yaml is not a run's configuration"),
    "config a list": (overwrite("config.yaml", b"- a\n"), "hurt/config.yaml is not a run's configuration"),
    "config cut": (shorten("config.yaml", 0.3), "hurt/config.yaml"),
    "config not YAML": (overwrite("config.yaml", b"a: [b\n"), "hurt/config.yaml is not plain YAML"),
    "config noise": (noise("config.yaml"), "hurt/config.yaml is not plain YAML"),
    "config not UTF-8": (overwrite("config.yaml", b"a: \xff\n"), "hurt/config.yaml is not plain YAML"),
    "config NUL": (overwrite("config.yaml", b"a: \x00\n"), "hurt/config.yaml is not plain YAML"),
    "config deep": (overwrite("config.yaml", b"[" * 100_000), "hurt/config.yaml is not plain YAML"),
    "no model": (lambda run: rewrite(run, lambda c: c.pop("model")), "hurt/config.yaml lacks `model`"),
    "no search": (lambda run: rewrite(run, lambda c: c.pop("search")), "hurt/config.yaml lacks `search`"),
    "model a list": (lambda run: rewrite(run, lambda c: c.update(model=[1])), "hurt/config.yaml lacks `model`"),
    "no dim": (lambda run: rewrite(run, lambda c: c["model"].pop("dim")), "model: Transformer lacks dim"),
    "unknown key": (lambda run: rewrite(run, lambda c: c["model"].update(x=1)), "model: Transformer knows no key 'x'"),
    "dim a text": (lambda run: rewrite(run, lambda c: c["model"].update(dim="64")), "model: `dim` is '64'"),
    "dim a list": (lambda run: rewrite(run, lambda c: c["model"].update(dim=[64])), r"model: `dim` is \[64\]"),
    "no target": (lambda run: rewrite(run, lambda c: c["model"].pop("_target_")), "model: .*_target_"),
    "target a number": (lambda run: rewrite(run, lambda c: c["search"].update(_target_=5)), "`_target_` names 5"),
    "target a list": (lambda run: rewrite(run, lambda c: c["search"].update(_target_=["x"])), "`_target_` names"),
    "number as key": (lambda run: rewrite(run, lambda c: c["search"].update({5: 1})), "search: .*5"),
    "a search as model": (
        lambda run: rewrite(run, lambda c: c.update(model=deepcopy(c["search"]))), "but a model for None"
    ),
    "a model as search": (
        lambda run: rewrite(run, lambda c: c.update(search=deepcopy(c["model"]))), "search: .*is not a search"
    ),
    "partial": (lambda run: rewrite(run, lambda c: c["search"].update(_partial_=True)), "search: .*not a search"),
    "no weights": (lambda run: (run / "best.ckpt").unlink(), r"hurt holds no weights \(best.ckpt\)"),
    "weights noise": (noise("best.ckpt"), "hurt/best.ckpt is damaged"),
    "weights empty": (overwrite("best.ckpt", b""), "hurt/best.ckpt is damaged"),
    **{f"weights cut at {keep}": (shorten("best.ckpt", keep), "best.ckpt is damaged") for keep in (0.01, 0.5, 0.99)},
    "weights flipped": (flip("best.ckpt"), "hurt/best.ckpt is damaged"),
    "weights a list": (lambda run: torch.save([1, 2], run / "best.ckpt"), "hurt/best.ckpt is damaged"),
    "weights text": (lambda run: reweigh(run, lambda c: c.update(weights="x")), "hurt/best.ckpt is damaged"),
    "weights numbers": (lambda run: reweigh(run, lambda c: c.update(weights={"a": 1})), "hurt/best.ckpt is damaged"),
    "weights missing": (lambda run: reweigh(run, lambda c: c["weights"].popitem()), "hurt/best.ckpt does not fit"),
    "weights foreign": (lambda run: shutil.copy(run / "last.ckpt", run / "best.ckpt"), "hurt/best.ckpt is damaged or"),
    "other shape": (lambda run: rewrite(run, lambda c: c["model"].update(dim=32)), "hurt/best.ckpt does not fit"),
    "newer format": (lambda run: reweigh(run, lambda c: c.update(format=2)), "format 2; this version .* format 1"),
    "odd format": (lambda run: reweigh(run, lambda c: c.update(format="x")), "hurt/best.ckpt is damaged"),
    "no tokenizer": (lambda run: (run / "tokenizer.model").unlink(), "hurt holds no tokenizer"),
    "tokenizer noise": (noise("tokenizer.model"), "hurt/tokenizer.model is not a SentencePiece model, or is damaged"),
    "tokenizer empty": (overwrite("tokenizer.model", b""), "hurt/tokenizer.model"),
    "tokenizer cut": (shorten("tokenizer.model", 0.5), "hurt/tokenizer.model|does not fit"),
    "tokenizer of another size": (lambda run: other_tokenizer(run), "tokenizer of 450 pieces, but a model for 400"),
}  # fmt: skip


def other_tokenizer(run: Path, pieces: int = 450) -> None:
    from dragoman.text.tokenizer import SentencePiece

    settings = {"model_type": "bpe", "joint": True, "byte_fallback": True, "character_coverage": 1.0}
    settings |= {"symbols": None, "normalisation": None}
    text = [f"word{n} and others" for n in range(500)]
    SentencePiece(vocab_size=pieces, **settings).train(text, text).save(run)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", RUNS)
def test_a_damaged_run_is_refused_by_the_file_that_is_wrong(hurt: Path, damage: str) -> None:
    harm, message = RUNS[damage]
    harm(hurt)
    scripts = (("translate", "text=The hen."), ("evaluate",))
    for script, *arguments in scripts if damage in (*RUNS,)[::4] else scripts[:1]:
        said = refused(script, f"run={hurt}", *arguments)
        assert re.search(message, said), said


def test_runs_of_different_vocabularies_are_no_ensemble(trained: Runs, hurt: Path) -> None:
    other_tokenizer(hurt, pieces=400)
    said = refused("translate", f"run=[{trained.first},{hurt}]", "text=x")
    assert "have different tokenizers" in said
    assert "There is no run folder nowhere" in refused("translate", f"run=[{trained.first},nowhere]", "text=x")
    assert "names no run folder" in refused("translate", "run=[]", "text=x")


# --- Going on ---

AGAIN: dict[str, tuple[Callable[[Path], object], str]] = {
    "scores noise": (noise("scores.json"), "hurt/scores.json is damaged"),
    "scores cut": (shorten("scores.json", 0.5), "hurt/scores.json is damaged"),
    "scores another thing": (overwrite("scores.json", b"[1]"), "scores.json is damaged"),
    "scores without scores": (overwrite("scores.json", b'{"a": 1}'), "scores.json is damaged"),
    "scores of another shape": (overwrite("scores.json", b'{"scores": [{"name": 1}]}'), "scores.json is damaged"),
    "both checkpoints": (each(noise("last.ckpt"), noise("last-previous.ckpt")), "last.ckpt and last-previous.ckpt ca"),
    "config cut": (shorten("config.yaml", 0.3), "hurt"),
    "tokenizer gone": (lambda run: (run / "tokenizer.model").unlink(), "hurt holds no tokenizer"),
}  # fmt: skip


def again(trained: Runs, *more: str) -> list[str]:
    """The command that trained the first run, in the copy."""
    settings = (f"corpus.folder={trained.folder / 'data'}", "name=n1", "seed=1", "max_steps=200", "validate_every=100")
    return [*TINY, *settings, "run_dir=hurt", *more]


@pytest.mark.parametrize("damage", AGAIN)
def test_a_damaged_run_does_not_go_on(trained: Runs, hurt: Path, damage: str) -> None:
    harm, message = AGAIN[damage]
    harm(hurt)
    further = [] if damage.startswith("scores") else ["trainer.max_steps=210"]
    said = refused("train", *again(trained, *further))
    assert re.search(message, said), said


LAST: dict[str, Callable[[Path], object]] = {
    "gone": lambda run: (run / "last.ckpt").unlink(),
    "noise": noise("last.ckpt"),
    "one bit": flip("last.ckpt"),
    "cut": shorten("last.ckpt", 0.5),
    "cut short": shorten("last.ckpt", 0.999),
    "empty": overwrite("last.ckpt", b""),
}


@pytest.mark.parametrize("damage", LAST)
def test_where_the_last_checkpoint_is_lost_the_one_before_it_goes_on(trained: Runs, hurt: Path, damage: str) -> None:
    LAST[damage](hurt)
    (hurt / "scores.json").unlink()
    answer = call("train", *again(trained))
    assert answer.status == 0, answer.err
    assert ("hurt/last.ckpt is damaged: looking for the one before it" in answer.err) == (damage != "gone")
    assert "going on from step 100" in answer.err
    ours, theirs = (json.loads((folder / "scores.json").read_text())["scores"] for folder in (hurt, trained.first))
    assert ours == theirs


# --- Disks and pipes ---


def limited(script: str, blocks: int, *arguments: str) -> Answer:
    """The script in a process that may write no file longer than so many KiB: a full disk, from the inside."""
    command = ["bash", "-c", f'ulimit -f {blocks}; trap "" XFSZ; exec "$0" "$@"', sys.executable]
    command += [str(SCRIPTS / f"{script}.py"), *arguments]
    variables = environment() | {"HF_DATASETS_CACHE": str(Path("../data-sets").resolve())}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def test_a_full_disk_is_a_sentence_and_the_old_translation_survives(trained: Runs) -> None:
    Path("source.txt").write_text("The hen runs in the garden.\n" * 100)
    Path("target.txt").write_text("what was there before\n")
    before = tree(Path())
    answer = limited("translate", 1, f"run={trained.first}", "source=source.txt", "target=target.txt")
    assert "target.txt cannot be written (File too large)" in sentence(answer)
    assert tree(Path()) == before


def test_a_full_disk_ends_a_training_in_a_sentence_and_what_was_kept_goes_on(trained: Runs, hurt: Path) -> None:
    """last.ckpt is too large for the disk, all else is small enough."""
    shutil.rmtree(hurt / "tensorboard", ignore_errors=True)
    size = (hurt / "last.ckpt").stat().st_size // 1024
    before = tree(hurt)
    said = sentence(
        limited("train", size // 2, *again(trained, "trainer.max_steps=220", "trainer.val_check_interval=10"))
    )
    assert "File too large" in said or "No space left" in said or "written" in said
    after = tree(hurt)
    assert {name: after[name] for name in ("last.ckpt", "last-previous.ckpt")} == {
        name: before[name] for name in ("last.ckpt", "last-previous.ckpt")
    }
    assert not [name for name in after if "partial" in name or "tmp" in name]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("kept")
    files.write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*'kept'"):
        files.write_text(path, "new")
    assert tree(Path()) == {"kept": b"old"}


def test_a_reader_of_stdout_that_leaves_is_no_error_message(trained: Runs, place: Path) -> None:
    """`| head -1`: status 141, as of any program that a closed pipe ends."""
    process = start("translate", f"run={trained.first}", "chunk=1", folder=place)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"The hen.\n")
    process.stdin.flush()
    assert next_line(process).endswith("\n")
    process.stdout.close()
    process.stdin.write(b"The hen.\n" * 50)
    process.stdin.close()
    process.wait(timeout=60)
    assert process.stderr is not None
    assert (process.returncode, process.stderr.read()) == (141, b"")


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train", [*TINY, "corpus.folder=nowhere", "name=x"], "nowhere/train.en is not a file"),
        ("translate", ["run=nowhere", "text=x"], "There is no run folder nowhere"),
    ],
)  # fmt: skip
def test_a_real_process_says_its_sentence_on_stderr_alone(
    place: Path, script: str, arguments: list[str], message: str
) -> None:
    answer = run(script, *arguments, folder=place)
    assert sentence(answer) == answer.err.removesuffix("\n")
    assert message in answer.err
    assert tree(place) == {}


def test_a_signal_ends_a_translation_in_one_word(trained: Runs, place: Path) -> None:
    process = start("translate", f"run={trained.first}", "chunk=1", folder=place)
    assert process.stdin is not None
    process.stdin.write(b"The hen.\n")
    process.stdin.flush()
    next_line(process)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert (answer.status, answer.err) == (130, "Interrupted.\n")
