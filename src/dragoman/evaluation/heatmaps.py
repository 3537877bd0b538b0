"""Pictures of attention: who read what, by layer and head, as a file or in the terminal.

Weights are a component of the computation, not an explanation of it.

Shapes: T queries, S keys, L layers, H heads.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dragoman.attention import PLACES, record
from dragoman.data.batch import collate
from dragoman.errors import InputError
from dragoman.exported import one_run
from dragoman.files import write_atomically
from dragoman.models import Seq2Seq
from dragoman.text.tokenizer import Tokenizer, Tokenizers
from dragoman.translator import Translator, check_switch

FORMS = ("png", "svg", "pdf")
BOS, EOS = "<s>", "</s>"
SHADES = " ·░▒▓█"  # of a weight, from 0 to the row's largest


class Map(NamedTuple):
    """What one place of a model weighted for one sentence; `title` says of which layers and heads it is the mean."""

    place: str
    title: str
    queries: list[str]
    keys: list[str]
    weights_TS: Tensor


class Tokens(NamedTuple):
    """A row or column of a map: labels, and for each position the label that it belongs to."""

    labels: list[str]
    owner: list[int]


@torch.inference_mode()
def attention_maps(
    model: Seq2Seq, tokenizers: Tokenizers, source: str, target: str, *, whole_words: bool
) -> dict[str, tuple[Tokens, Tokens, Tensor]]:
    """Place → its queries, its keys and the weights (L, H, T, S) of a model that is made to write `target`.

    A decoder's query stands for the token that is written there, one after the token that it has just read.
    """
    ids = tokenizers.source.encode(source), tokenizers.target.encode(target)
    read = tokens(tokenizers.source, ids[0], whole_words, last=EOS)
    written = tokens(tokenizers.target, ids[1], whole_words, last=EOS)
    before = tokens(tokenizers.target, ids[1], whole_words, first=BOS)
    batch = collate([ids[0]], [ids[1]])
    with record(model) as seen:
        model(batch.src_BS.to(model.device), batch.tgt_BT[:, :-1].to(model.device))
    axes = {"encoder": (read, read), "decoder": (written, before), "cross": (written, read)}
    found = {}
    for kind, place in PLACES.items():
        layers = [one.weights_BHTS[0].float().cpu() for one in seen.values() if one.kind == kind]
        if layers:
            queries, keys = axes[place]
            found[place] = (queries, keys, merged(torch.stack(layers), queries, keys))
    return found


def tokens(tokenizer: Tokenizer, ids: list[int], whole_words: bool, *, first: str = "", last: str = "") -> Tokens:
    """Labels of ids with a special token before or after them: a label for each piece or for each word."""
    pieces = [*([first] if first else []), *tokenizer.pieces(ids), *([last] if last else [])]
    if not whole_words:
        return Tokens(pieces, list(range(len(pieces))))
    labels: list[str] = []
    owner = []
    for piece in pieces:
        if not labels or piece.startswith("▁") or piece == last or (first and labels[-1] == first):
            labels.append("")
        labels[-1] += piece.removeprefix("▁")
        owner.append(len(labels) - 1)
    return Tokens(labels, owner)


def merged(weights_LHTS: Tensor, queries: Tokens, keys: Tokens) -> Tensor:
    """The weights of a word's keys added up, those of its queries averaged: rows still sum to one."""
    rows = torch.nn.functional.one_hot(torch.tensor(queries.owner)).float()
    columns = torch.nn.functional.one_hot(torch.tensor(keys.owner)).float()
    return (rows / rows.sum(0)).T @ weights_LHTS @ columns


def chosen(
    place: str, queries: Tokens, keys: Tokens, weights_LHTS: Tensor, layer: int | str, head: int | str
) -> list[list[Map]]:
    """Rows of layers and columns of heads; a number chooses one, counted from 1, "mean" averages, "all" takes all."""
    layers = picked("layer", layer, weights_LHTS, 0)
    return [
        [
            Map(place, f"{layer_name}, {head_name}", queries.labels, keys.labels, weights_TS)
            for head_name, weights_TS in picked("head", head, weights_HTS, 0)
        ]
        for layer_name, weights_HTS in layers
    ]


def picked(name: str, which: int | str, weights: Tensor, dim: int) -> list[tuple[str, Tensor]]:
    """(title, weights) along a dimension."""
    count = weights.shape[dim]
    if which == "mean":
        return [(f"mean of {count} {name}s" if count > 1 else f"{name} 1", weights.mean(dim))]
    numbers = range(1, count + 1) if which == "all" else [which]
    if not all(isinstance(number, int) and 1 <= number <= count for number in numbers):
        raise InputError(f"`{name}` ({which}) must be mean, all, or a number from 1 to {count}.")
    return [(f"{name} {number}", weights.select(dim, int(number) - 1)) for number in numbers]


def draw(maps: list[list[Map]], path: Path) -> None:
    """One picture of all the maps, layers below each other, heads side by side."""
    from matplotlib.figure import Figure  # here: it takes a second

    one = maps[0][0]
    cell = 0.26  # inches: a line of the labels' 9 points, and air
    width, height = (max(1.6, cell * len(labels)) for labels in (one.keys, one.queries))
    margin = 0.09 * max(len(label) for label in (*one.keys, *one.queries)) + 0.7
    size = ((width + margin) * len(maps[0]), (height + margin) * len(maps))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(maps), len(maps[0]), squeeze=False)
    for row, axes_row in zip(maps, axes, strict=True):
        for attention, axis in zip(row, axes_row, strict=True):
            image = axis.imshow(attention.weights_TS.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axis.set_xticks(range(len(attention.keys)), attention.keys, rotation=90, fontsize=9)
            axis.set_yticks(range(len(attention.queries)), attention.queries, fontsize=9)
            axis.set_title(f"{attention.place}: {attention.title}", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.6, label="weight")
    kind = path.suffix.removeprefix(".")
    write_atomically(path, lambda file: figure.savefig(file, format=kind, dpi=150, bbox_inches="tight"))


def in_text(attention: Map) -> Iterator[str]:
    """The map as lines of text: two columns a key, shades relative to the largest weight of each query."""
    width = max(map(len, attention.queries))
    depth = max(map(len, attention.keys))
    yield f"{attention.place}: {attention.title}"
    for line in range(depth):
        letters = [label.rjust(depth)[line] for label in attention.keys]
        yield " " * (width + 1) + "".join(f"{letter} " for letter in letters).rstrip()
    for label, weights_S in zip(attention.queries, attention.weights_TS.tolist(), strict=True):
        top = max(weights_S) or 1.0
        shades = [SHADES[round(weight / top * (len(SHADES) - 1))] for weight in weights_S]
        yield f"{label:>{width}} " + "".join(shade * 2 for shade in shades).rstrip()


def attend(
    run: str,
    *,
    text: str,
    translation: str | None,
    place: str,
    layer: int | str,
    head: int | str,
    whole_words: bool,
    form: str,
    output: Path | None,
) -> Iterator[str]:
    """Draw a run's attention for one sentence: a file for each place, and the same as lines of text.

    Without a `translation` the run's own is drawn. Files go to `output`, by default RUN/attention.
    """
    if place not in ("all", *PLACES.values()):
        raise InputError(f"`place` ({place}) must be all, {', '.join(PLACES.values())}.")
    if form not in FORMS:
        raise InputError(f"`format` ({form}) must be one of {', '.join(FORMS)}.")
    check_switch("words", whole_words)
    if not text.strip():
        raise InputError("`text` is empty: give a sentence to attend to.")
    translator = Translator.load(one_run(run, "drawn"), device="cpu")
    if not isinstance(translator.model, Seq2Seq):
        raise InputError(f"{run} is exported, and keeps its attention weights to itself: use a run.")
    if len(translator.tokenizers.source.encode(text)) >= translator.search.max_source:
        raise InputError(f"`text` is longer than `search.max_source` ({translator.search.max_source} tokens).")
    target = translator([text])[0] if translation is None else translation
    length = len(translator.tokenizers.target.encode(target)) + 1
    if length > translator.model.max_length:
        raise InputError(
            f"`translation` has {length} tokens, but the model holds {translator.model.max_length} at most."
        )
    found = attention_maps(translator.model, translator.tokenizers, text, target, whole_words=whole_words)
    for name, (queries, keys, weights_LHTS) in found.items():
        if place in ("all", name):
            maps = chosen(name, queries, keys, weights_LHTS, layer, head)
            path = (output or Path(run) / "attention") / f"{name}.{form}"
            draw(maps, path)
            yield from (line for row in maps for one in row for line in (*in_text(one), ""))
            yield f"drawn in {path}"
    if place not in ("all", *found):
        raise InputError(f"{run} has no attention of that place: its model attends in {', '.join(found)} alone.")
