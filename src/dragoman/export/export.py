"""The whole road: read a run, write it for another engine, let both translate its test set, tell what that cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dragoman.errors import InputError
from dragoman.evaluation.evaluate import one_line, pairs_to_score
from dragoman.export.compare import Contestant, Row, compared
from dragoman.exported import CTRANSLATE2, HUGGINGFACE, WEIGHTS, beam_settings, digest, one_run, write_card
from dragoman.files import new_folder, write_json
from dragoman.run import Run, build_search, target_language
from dragoman.translator import Translator, check_positive, find_device

REPORT = "export.json"
PLAIN = "float32"


def export_run(
    run: str,
    *,
    to: str,
    quantization: str | None,
    output: Path | None,
    source: str | None,
    reference: str | None,
    sentences: int | None,
    search: dict[str, Any] | None,
    device: str,
    batch_tokens: int,
) -> tuple[Path, list[Row]]:
    """The folder of the exported model, and how both did on the run's test set or on two files.

    `search` is what both translate with and what the exported folder keeps; None: the run's own. `sentences`: only so
    many of the test set. InputError, before anything is written, for what the format cannot express.
    """
    run = one_run(run, "exported")
    if to not in WRITERS:
        raise InputError(f"`to` ({to}) must be {' or '.join(WRITERS)}.")
    if sentences is not None:
        check_positive("sentences", sentences)
    opened = Run(run)
    settings = search or opened.config["search"]
    beam_settings(build_search(settings))
    pairs = pairs_to_score(opened, source, reference)[:sentences]
    kind = "-".join(part for part in (to, quantization) if part)
    folder = output or Path(run) / kind
    if folder.exists():
        raise InputError(f"{folder} exists already: remove it, or give another `output=`.")
    with new_folder(folder) as unfinished:
        translate = WRITERS[to](opened, settings, quantization, unfinished, find_device(device).type, batch_tokens)
        own = Translator.load(run, search=build_search(settings), device=device, batch_tokens=batch_tokens)
        contestants = [
            Contestant("dragoman", own, opened.weights),
            Contestant(kind, translate, next(unfinished.glob("*.safetensors"), unfinished / WEIGHTS)),
        ]
        lines = [(one_line(source), one_line(target)) for source, target in pairs]
        rows = compared(contestants, lines, target_language(opened.config))
        facts = {"run": run, "to": to, "quantization": quantization, "search": settings, "sentences": len(pairs)}
        report = facts | {"engines": [row._asdict() | {"bleu": row.bleu._asdict()} for row in rows]}
        write_json(unfinished / REPORT, report)
    return folder, rows


@contextmanager
def needed(package: str) -> Iterator[None]:
    """What only an export needs may not be installed."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"This export needs {package} ({error}): `pip install {package}`.") from error


def to_ctranslate2(
    run: Run, search: dict[str, Any], quantization: str | None, folder: Path, device: str, batch_tokens: int
) -> Callable[[list[str]], list[str]]:
    """Writes the folder; what then translates with it is a `Translator`."""
    with needed("ctranslate2"):
        from dragoman.export import ctranslate2
    model, tokenizers, quantization = run.model(), run.tokenizers(), quantization or PLAIN
    ctranslate2.write(model, tokenizers, folder, quantization)
    tokenizers.save(folder)
    facts = {"quantization": quantization, "max_length": model.max_length, "sha256": digest(folder / WEIGHTS)}
    write_card(folder, CTRANSLATE2, facts | {"search": search})
    return Translator.load(folder, device=device, batch_tokens=batch_tokens)


def to_huggingface(
    run: Run, search: dict[str, Any], quantization: str | None, folder: Path, device: str, batch_tokens: int
) -> Callable[[list[str]], list[str]]:
    """Writes the folder; what then translates with it is transformers alone."""
    if quantization is not None:
        raise InputError(
            f"`quantization` ({quantization}) is CTranslate2's: leave it out, or choose `to={CTRANSLATE2}`."
        )
    with needed("transformers"):
        from dragoman.export import huggingface
        from dragoman.export.generate import Generate
    model = run.model()
    huggingface.write(model, run.tokenizers(), folder, build_search(search))
    write_card(folder, HUGGINGFACE, {"max_length": model.max_length, "search": search})
    return Generate(folder, build_search(search), device=device, batch_tokens=batch_tokens)


WRITERS = {CTRANSLATE2: to_ctranslate2, HUGGINGFACE: to_huggingface}
