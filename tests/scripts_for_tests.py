"""The scripts as their users run them, in a process or, where a process adds nothing, in this one; and tiny corpora."""

import io
import logging
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from dragoman.text import pocket

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"

# A network of a second or so; 400 pieces are few enough for 300 pairs and enough for their characters.
TINY = [
    "experiment=small", "corpus.source_language=en", "corpus.target_language=fr", "tokenizer.vocab_size=400",
    "model.dim=64", "model.num_heads=2", "model.feed_forward_dim=64", "model.encoder_layers=1",
    "model.decoder_layers=1", "model.dropout=0", "label_smoothing=0", "optimizer.lr=0.01", "schedule.warmup_steps=50",
    "data.batch_tokens=500", "logger=csv", "search=greedy", "trainer.precision=32-true",
]  # fmt: skip


class Answer(NamedTuple):
    """What a script said."""

    status: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """One thread: those of torch wait for each other by spinning, a disaster where other processes want the cores."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("HYDRA_FULL_ERROR", "PYTHONUNBUFFERED")}
    return inherited | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def start(script: str, *arguments: str, folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A real process in `folder`, where it also keeps its data sets."""
    variables = environment() | {"HF_DATASETS_CACHE": str(folder / "data-sets")}
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    # Where the tests themselves were started in the background they ignore Ctrl-C, and what they start would too.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(command, cwd=folder, env=variables, preexec_fn=heed, **options)


def finish(process: subprocess.Popen[bytes], given: str | bytes = b"") -> Answer:
    """What a process answers; "\\r" and its like come back as they are."""
    out, err = process.communicate(given.encode() if isinstance(given, str) else given, timeout=120)
    return Answer(process.returncode, out.decode(), err.decode())


def next_line(process: subprocess.Popen[bytes]) -> str:
    """The next line of a process that goes on; one that keeps it to itself fails instead of waiting for ever."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "no line within a minute"
    return process.stdout.readline().decode()


def run(script: str, *arguments: str, folder: Path, given: str | bytes = b"") -> Answer:
    """A script in a real process, from its start to its end."""
    return finish(start(script, *arguments, folder=folder), given)


def done(answer: Answer) -> Answer:
    """The same answer, of a script that should have succeeded."""
    assert answer.status == 0, answer.err
    return answer


def call(script: str, *arguments: str, given: str | bytes = b"") -> Answer:
    """The same as `run` in this process and folder, through the same door: for laws that a process adds nothing to."""
    raw = given.encode() if isinstance(given, str) else given
    stdin, stdout, stderr = (io.TextIOWrapper(io.BytesIO(text), "utf-8", newline="") for text in (raw, b"", b""))
    status: Any = 0
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [f"{script}.py", *arguments]))
        stack.enter_context(mock.patch.object(sys, "stdin", stdin))
        stack.enter_context(redirect_stdout(stdout))
        stack.enter_context(redirect_stderr(stderr))
        stack.enter_context(same_logging())
        try:
            runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
        except SystemExit as end:
            status = end.code
    said = []
    for stream in (stdout, stderr):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Answer(status, *said)


@contextmanager
def same_logging() -> Iterator[None]:
    """The root logger as it was: `entry` gives it a handler for a stream that does not outlive the call."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def write_corpus(folder: Path, languages: tuple[str, str] = ("en", "fr"), test: str = "test") -> Path:
    """300, 40 and 20 pairs as parallel files, named as `experiment=small` expects them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, stem, size in (("train", "train", 300), ("validation", "val", 40), ("test", test, 20)):
        pairs = list(pocket.generate(split, size=size, seed=7))  # type: ignore[arg-type]
        for side, language in enumerate(languages):
            (folder / f"{stem}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs), "utf-8")
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with the bytes of the files: equal trees, nothing happened."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def lines(text: str) -> list[str]:
    """The lines of an output that ends its last line, split at line feeds alone."""
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]
