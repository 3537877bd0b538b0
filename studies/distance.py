"""Distance: does the verb agree with a subject far away, does the gradient reach it, and what do long sentences cost?

    python studies/distance.py

Between subject and verb stand relative clauses: of persons, who could be the subject themselves, or of things. Hardly
a sentence of the pocket corpus tells which noun the verb goes with; so the models are trained on it, and again with
2,000 sentences more that do tell, of up to 8 words between. None has more than 30 words, as in `studies/bottleneck.py`.
One of the models is a Transformer without feed-forward networks. Draws distance.png.
"""

import statistics
from functools import partial
from typing import Any

import torch
from torch import Tensor

from agreement import BETWEEN, DEPTHS, OF_EACH, TOLD, evidence, sample, write_told
from bottleneck import DATA, corpus, read, write_corpus
from dragoman.data.batch import collate
from dragoman.evaluation.contrastive import log_margins
from dragoman.evaluation.heatmaps import attention_maps
from dragoman.models import Seq2Seq
from dragoman.run import Run
from dragoman.text.pocket import Contrast
from dragoman.text.tokenizer import Tokenizers
from study import (
    FAST,
    RECURRENT,
    Job,
    arguments,
    begin,
    by_label,
    drawn,
    jobs_of,
    markdown,
    report,
    spread,
    step_seconds,
    test_bleu,
    train_all,
    trained,
)

LENGTHS = range(10, 61, 10)  # of sentences, for speeds
SAMPLED = 40  # of each distance, for gradients
DISTANCES = [4.0 * depth for depth in DEPTHS]  # words between subject and verb
STEPS = ("max_steps=1500", "validate_every=1500")
MODELS = {
    "GRU, fixed vector": ("model=rnn", *RECURRENT, *STEPS),
    "RNNsearch": ("model=rnnsearch", *RECURRENT, *STEPS),
    "Transformer": (FAST, *STEPS),
    "Transformer without feed-forward": ("model.feed_forward=none", FAST, *STEPS),
}
ByLabel = dict[str, list[list[float]]]  # label → for each seed, at each distance
Lines = dict[str, tuple[list[float], list[float]]]  # label → x and y
PUNCTUATION = frozenset(["▁.", ".", ",", "▁,", "?", "</s>"])


def accuracy(job: Job, between: str) -> list[float]:
    """Percent of right verbs at each depth."""
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    margins = [log_margins(model, tokenizers, sample(between, depth, OF_EACH), batch_tokens=2048) for depth in DEPTHS]
    return [100 * statistics.mean(margin > 0 for margin in found) for found in margins]


def gradient_shares(job: Job, between: str) -> list[float]:
    """At each depth: the subject's part, in percent, of the gradients of the verb's log-probability by source words."""
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    return [
        100 * statistics.mean(gradient_share(model, tokenizers, one) for one in sample(between, depth, SAMPLED))
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
    for source, target in read(DATA, "test")[:150:3]:
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


def by_distance(found: ByLabel) -> Lines:
    """The means of the seeds."""
    return {label: (DISTANCES, list(map(statistics.mean, zip(*runs, strict=True)))) for label, runs in found.items()}


def panels_of(right: dict[str, ByLabel], gradient: ByLabel, speed: dict[str, list[float]]) -> dict[str, Lines]:
    """ "What, unit by what, unit" → its lines."""
    panels = {f"right verbs, % by words between: {name}": by_distance(found) for name, found in right.items()}
    panels["subject's part of the gradient, % by words between: things, told"] = by_distance(gradient)
    panels["training tokens/s by sentence length"] = {k: ([float(n) for n in LENGTHS], v) for k, v in speed.items()}
    return panels


def draw(panels: dict[str, Lines]) -> None:
    """A panel for each thing measured."""
    with drawn("distance", len(panels), rows=2) as axes:
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for label, (x, y) in lines.items():
                axis.plot(x, y, marker="o", label=label)
            what, _, across = title.partition(" by ")
            axis.set(ylabel=what, xlabel=across, ylim=(0, None))
        axes[0].legend()


def main() -> None:
    options = arguments(str(__doc__))
    write_corpus()
    write_told()
    plain = jobs_of("distance", MODELS, options.seeds, *corpus(DATA))
    told = jobs_of("distance_told", MODELS, options.seeds, *corpus(TOLD))
    train_all(plain + told, options.jobs)
    right = {
        f"{between}, {name}": by_label(runs, partial(accuracy, between=between))
        for name, runs in (("as the corpus is", plain), ("told", told))
        for between in BETWEEN
    }
    gradient = {between: by_label(told, partial(gradient_shares, between=between)) for between in BETWEEN}
    bleu, mass = by_label(told, test_bleu), by_label(told, masses)
    speed = step_speeds(trained(told), LENGTHS)
    draw(panels_of(right, gradient["things"], speed))
    away = [f"{distance:.0f}" for distance in DISTANCES]
    tables = [
        *(markdown((f"right verbs, %, by words between: {k}", *away), rows_of(v)) for k, v in right.items()),
        *(markdown((f"subject's part of the gradient, %: {k}", *away), rows_of(v)) for k, v in gradient.items()),
        markdown(
            ("training tokens/s by length", *map(str, LENGTHS)),
            [(k, *(f"{one:,.0f}" for one in v)) for k, v in speed.items()],
        ),
        markdown(("model", "BLEU, test up to 60 words"), [(k, spread(v)) for k, v in bleu.items()]),
        mass_table(mass),
    ]
    text = f"{STEPS[0]}; seeds {', '.join(map(str, options.seeds))}, mean ± sd.\n\n![By distance](distance.png)\n\n"
    clauses, rivals = evidence(DATA)
    text += f'Of {clauses:,} training sentences with a person and "who", {rivals} have a rival in the clause.\n\n'
    data = {
        "evidence": [clauses, rivals],
        "distances": DISTANCES,
        "right": right,
        "gradient": gradient,
        "speed": speed,
        "bleu": bleu,
        "mass": mass,
    }
    report("distance", text + "\n".join(tables), data)


def rows_of(found: ByLabel) -> list[tuple[str, ...]]:
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
    begin(main)
