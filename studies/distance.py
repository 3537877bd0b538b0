"""Distance: does the verb agree with a subject far away, does the gradient reach it, and what do long sentences cost?

    python studies/distance.py

Trained on sentences of up to 30 words, as in `studies/bottleneck.py`; among them a Transformer without feed-forward
networks. Draws distance.png.
"""

import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bottleneck import CORPUS, DATA, write_corpus
from dragoman.data.batch import collate
from dragoman.evaluation.contrastive import log_margins
from dragoman.evaluation.heatmaps import attention_maps
from dragoman.models import Seq2Seq
from dragoman.run import Run
from dragoman.text.lines import read_lines
from dragoman.text.pocket import Contrast
from dragoman.text.pocket.choices import CALM, OF_KIND, Dice
from dragoman.text.pocket.corpus import render
from dragoman.text.pocket.lexicon import VERBS
from dragoman.text.pocket.trees import Action, Clause, Gap, NounPhrase, Sentence
from dragoman.text.pocket.words import Noun, Number
from dragoman.text.tokenizer import Tokenizers
from study import (
    RECURRENT,
    Job,
    arguments,
    by_label,
    drawn,
    markdown,
    report,
    spread,
    step_seconds,
    test_bleu,
    train_all,
    trained,
)

DEPTHS, OF_EACH, SAMPLED = range(5), 200, 40
STEPS = ("max_steps=1500", "validate_every=1500")
MODELS = {
    "GRU, fixed vector": ("model=rnn", *RECURRENT, *STEPS),
    "RNNsearch": ("model=rnnsearch", *RECURRENT, *STEPS),
    "Transformer": STEPS,
    "Transformer without feed-forward": ("model.feed_forward=none", *STEPS),
}
FOLLOWED = tuple(VERBS[word] for word in ("follow", "watch", "help", "see"))
PERSONS = tuple(noun for noun in OF_KIND["person"] if noun.english_plural)
PUNCTUATION = frozenset(["▁.", ".", ",", "▁,", "?", "</s>"])


class Agreement(NamedTuple):
    """A contrast of the verb's number, and how many words stand between it and its subject."""

    contrast: Contrast
    distance: int


def described(dice: Dice, noun: Noun, number: Number, depth: int) -> NounPhrase:
    """The girls who followed the boy who saw the man …: every noun in between is of the other number."""
    inner: NounPhrase | None = None
    between: Number = "plural" if number == "singular" else "singular"
    nouns = [noun, *(dice.pick([one for one in PERSONS if one is not noun]) for _ in range(depth))]
    for level, one in reversed(list(enumerate(nouns))):
        its = between if level else number
        said = Clause(Gap(one, its), Action(dice.pick(FOLLOWED), inner), "past") if inner else None
        inner = NounPhrase(one, its, relative=said)
    assert inner is not None
    return inner


def agreements(depth: int) -> Iterator[Agreement]:
    """Singular and plural subjects in turn, without end."""
    dice, numbers = Dice(depth), ("singular", "plural")
    count = 0
    while True:
        number: Number = numbers[count % 2]  # type: ignore[assignment]
        count += 1
        subject = described(dice, dice.pick(PERSONS), number, depth)
        source, right = render(Sentence(Clause(subject, Action(dice.pick(CALM)), "past")))
        a, b = (" a ", " ont ") if number == "singular" else (" ont ", " a ")
        before, _, after = right.rpartition(a)
        distance = len(source.split()) - 3
        yield Agreement(Contrast(source, right, f"{before}{b}{after}", f"distance {distance}"), distance)


def sample(depth: int, size: int) -> list[Agreement]:
    found = agreements(depth)
    return [next(found) for _ in range(size)]


def accuracy(job: Job) -> list[float]:
    """Percent of right verbs at each depth."""
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    shares = []
    for depth in DEPTHS:
        margins = log_margins(model, tokenizers, [one.contrast for one in sample(depth, OF_EACH)], batch_tokens=2048)
        shares.append(100 * statistics.mean(margin > 0 for margin in margins))
    return shares


def gradient_shares(job: Job) -> list[float]:
    """At each depth: the subject's part, in percent, of the gradients of the verb's log-probability by source words."""
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    return [
        100 * statistics.mean(gradient_share(model, tokenizers, one.contrast) for one in sample(depth, SAMPLED))
        for depth in DEPTHS
    ]


def gradient_share(model: Seq2Seq, tokenizers: Tokenizers, contrast: Contrast) -> float:
    """Of one sentence; norms of the gradients at the embeddings."""
    source, target = tokenizers.source.encode(contrast.source), tokenizers.target.encode(contrast.right)
    target_words = tokenizers.target.decoded_words(target)
    auxiliary = target_words.index(max(target_words) - 1)
    embedded: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    handle = model.get_submodule("source").register_forward_hook(keep)
    batch = collate([source], [target])
    log_probs = model(batch.src_BS, batch.tgt_BT[:, :-1])[0, auxiliary].log_softmax(-1)
    handle.remove()
    log_probs[target[auxiliary]].backward()
    gradient = embedded[0].grad
    assert gradient is not None
    norms = gradient[0].norm(dim=-1)
    words = torch.tensor([*tokenizers.source.words(contrast.source), -1])
    return float(norms[words == 1].sum() / norms.sum())


def step_speeds(models: dict[str, Seq2Seq], lengths: range) -> dict[str, list[float]]:
    """Label → target tokens per second of a training step at each length: medians."""
    found: dict[str, list[float]] = {label: [] for label in models}
    for length in lengths:
        sentences = 1024 // length
        times = step_seconds(models, sentences, length, rounds=15)
        for label in models:
            found[label].append(sentences * length / statistics.median(one[label] for one in times))
    return found


def masses(job: Job) -> dict[str, dict[str, float]]:
    """Place → percent of the weight on the same position, its neighbours, punctuation and ends, and all the rest."""
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    totals: dict[str, list[tuple[float, float, float]]] = {}
    lines = zip(*(read_lines(DATA / f"test.{language}") for language in ("en", "fr")), strict=True)
    for source, target in list(lines)[:150:3]:
        for place, maps in attention_maps(model, tokenizers, source, target, whole_words=False).items():
            _, keys, weights_LHTS = maps
            mean_TS = weights_LHTS.mean((0, 1))
            T, S = mean_TS.shape
            away = (torch.arange(S)[None] - torch.arange(T)[:, None]).abs()
            marks = torch.tensor([label in PUNCTUATION for label in keys.labels])
            parts = (mean_TS[away == 0].sum() / T, mean_TS[away == 1].sum() / T, mean_TS[:, marks].sum() / T)
            totals.setdefault(place, []).append(tuple(float(part) for part in parts))  # type: ignore[arg-type]
    names = ("same position", "one beside", "punctuation and end")
    return {
        place: {name: 100 * statistics.mean(one[i] for one in found) for i, name in enumerate(names)}
        for place, found in totals.items()
    }


def draw(panels: dict[str, dict[str, tuple[list[float], list[float]]]]) -> None:
    """A panel for each thing measured: label → x and y."""
    with drawn("distance", len(panels)) as axes:
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for label, (x, y) in lines.items():
                axis.plot(x, y, marker="o", label=label)
            what, _, across = title.partition(" by ")
            axis.set(ylabel=what, xlabel=across, ylim=(0, None))
        axes[0].legend()


def main() -> None:
    options = arguments(str(__doc__))
    write_corpus()
    jobs = [Job(label, seed, (*CORPUS, *made), "distance") for seed in options.seeds for label, made in MODELS.items()]
    train_all(jobs, options.jobs)
    right, gradient = by_label(jobs, accuracy), by_label(jobs, gradient_shares)
    bleu, mass = by_label(jobs, test_bleu), by_label(jobs, masses)
    lengths = range(10, 61, 10)
    speed = step_speeds(trained(jobs), lengths)
    distances = [statistics.mean(one.distance for one in sample(depth, OF_EACH)) for depth in DEPTHS]

    def mean(runs: list[list[float]]) -> list[float]:
        return [statistics.mean(values) for values in zip(*runs, strict=True)]

    panels = {
        "right verbs, % by words between subject and verb": {k: (distances, mean(v)) for k, v in right.items()},
        "subject's part of the gradient, % by words between subject and verb": {
            k: (distances, mean(v)) for k, v in gradient.items()
        },
        "training tokens/s by sentence length": {k: ([float(n) for n in lengths], v) for k, v in speed.items()},
    }
    draw(panels)
    away = [f"{distance:.1f}" for distance in distances]
    tables = [
        markdown(("right verbs, %, by words between", *away), rows_of(right)),
        markdown(("subject's part of the gradient, %", *away), rows_of(gradient)),
        markdown(
            ("training tokens/s by length", *map(str, lengths)),
            [(k, *(f"{one:,.0f}" for one in v)) for k, v in speed.items()],
        ),
        markdown(("model", "BLEU, test up to 60 words"), [(k, spread(v)) for k, v in bleu.items()]),
        mass_table(mass),
    ]
    text = f"{STEPS[0]}; seeds {', '.join(map(str, options.seeds))}, mean ± sd.\n\n![By distance](distance.png)\n\n"
    data = {"distances": distances, "right": right, "gradient": gradient, "speed": speed, "bleu": bleu, "mass": mass}
    report("distance", text + "\n".join(tables), data)


def rows_of(found: dict[str, list[list[float]]]) -> list[tuple[str, ...]]:
    """A row for each label, mean ± sd in each column."""
    return [(label, *(spread(values) for values in zip(*runs, strict=True))) for label, runs in found.items()]


def mass_table(mass: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Where the weight lies, in percent."""
    rows = [
        (label, place, *(spread(run[place][name] for run in runs) for name in runs[0][place]))
        for label, runs in mass.items()
        for place in runs[0]
    ]
    return markdown(("weight, %", "place", "same position", "one beside", "punctuation and end"), rows)


if __name__ == "__main__":
    main()
