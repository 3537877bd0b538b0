"""Every mechanism and model on the pocket corpus: BLEU, and whether it knows what "it" is and which bank is meant.

python studies/mechanisms.py
"""

import json
import statistics
import subprocess
from typing import Any

import torch
from torch import Tensor

from dragoman.evaluation.heatmaps import attention_maps
from dragoman.run import Run
from dragoman.text.pocket import contrasts
from dragoman.text.pocket.nouns import NOUNS
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
    script,
    spread,
    test_bleu,
    train_all,
)

# The same Transformer, recipe and budget for all attentions; sinusoidal positions, since not all can be rotated.
STEPS = 3000
ROTARY = (f"max_steps={STEPS}", "validate_every=1000", FAST)
TRANSFORMER = ("model.positions=sinusoidal", *ROTARY)
FEWER = (*RECURRENT, "max_steps=2000", "validate_every=1000")
MODELS = {
    "fused": TRANSFORMER,
    "dot": ("swap=dot", *TRANSFORMER),
    "additive": ("swap=additive", *TRANSFORMER),
    "window": ("swap=window", *TRANSFORMER),
    "sparse": ("swap=sparse", *TRANSFORMER),
    "linear": ("swap=linear", *TRANSFORMER),
    "fused, rotary": ROTARY,
    "RNNsearch": ("model=rnnsearch", *FEWER),
    "GRU, fixed vector": ("model=rnn", *FEWER),
    "LSTM, fixed vector": ("model=rnn", "model.cell=lstm", *FEWER),
}


SAMPLED = 200
NAMED = frozenset(form for noun in NOUNS.values() for form in (noun.english, noun.english_plural) if form)
PRONOUNS = ("it", "qu'il", "qu'elle")
PLACES = ("encoder", "cross")


def contrast(job: Job) -> dict[str, float]:
    """Phenomenon → accuracy on the corpus' own sets; measured once."""
    path = job.folder / "contrastive.json"
    if not path.exists():
        subprocess.run(script("contrast", f"run={job.folder}", "device=cpu"), check=True, stdout=subprocess.DEVNULL)
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {one["phenomenon"]: one["value"] for one in content["accuracy"]}


def looks_back(job: Job) -> dict[str, float]:
    """Percent of the weight on the antecedent and on the other noun, in the head that tells them apart best.

    From "it" in the encoder, and from the French pronoun while it is written, in cross-attention.
    """
    run = Run(job.folder)
    model, tokenizers = run.model(), run.tokenizers()
    weights: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for one in contrasts(size=2 * SAMPLED, seed=2026)[:SAMPLED]:
        maps = attention_maps(model, tokenizers, one.source, one.right, whole_words=True)
        for place in PLACES:
            if place in maps:
                queries, keys, weights_LHTS = maps[place]
                nouns = [number for number, word in enumerate(keys.labels) if word in NAMED]
                meant, other = nouns if "first" in one.phenomenon else reversed(nouns)
                row = next(number for number, word in enumerate(queries.labels) if word in PRONOUNS)
                weights.setdefault(place, []).append((weights_LHTS[:, :, row, meant], weights_LHTS[:, :, row, other]))
    return {name: value for place, pairs in weights.items() for name, value in best_head(place, pairs).items()}


def best_head(place: str, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """What it gives to the one and to the other, in percent."""
    meant_LH, other_LH = (100 * torch.stack(side).mean(0) for side in zip(*pairs, strict=True))
    best = int((meant_LH - other_LH).argmax())
    return {f"{place}, antecedent": float(meant_LH.flatten()[best]), f"{place}, other": float(other_LH.flatten()[best])}


def pronouns(accuracy: dict[str, float]) -> float:
    """Of both orders of antecedents together: they are equally many."""
    return statistics.mean(value for name, value in accuracy.items() if name.startswith("it"))


def draw(accuracy: dict[str, list[dict[str, float]]]) -> None:
    """What each run gets right, a dot for each seed."""
    measures = {
        '"it", % right': pronouns,
        "homographs, % right": lambda found: found["homograph"],
    }
    with drawn("mechanisms", len(measures)) as axes:
        for axis, (name, measure) in zip(axes, measures.items(), strict=True):
            for label, runs in accuracy.items():
                axis.plot([measure(run) for run in runs], [label] * len(runs), "o", alpha=0.6)
            axis.axvline(50, color="grey", linestyle=":")
            axis.set(xlabel=name, xlim=(45, 101))
            axis.invert_yaxis()


def main() -> None:
    options = arguments(str(__doc__))
    jobs = jobs_of("mechanisms", MODELS, options.seeds)
    train_all(jobs, options.jobs)
    bleu, accuracy, looks = by_label(jobs, test_bleu), by_label(jobs, contrast), by_label(jobs, looks_back)
    rows = [
        (
            label,
            spread(bleu[label]),
            spread(pronouns(one) for one in accuracy[label]),
            spread(one["homograph"] for one in accuracy[label]),
            *(
                spread(one[name] for one in looks[label]) if name in looks[label][0] else "–"
                for name in looks["fused"][0]
            ),
        )
        for label in MODELS
    ]
    header = ("attention or model", "BLEU, test", '"it", % right', "homographs, % right", *looks["fused"][0])
    text = (
        f"Pocket corpus, en→fr; seeds {', '.join(map(str, options.seeds))}, mean ± sd; guessing gets 50 % right. The"
        ' last columns: percent of the weight that "it" (encoder) or the French pronoun (cross) gives to its antecedent'
        " and to the other noun, in the head that tells them apart best: a component of the computation, not an"
        " explanation.\n\n"
    )
    draw(accuracy)
    data = {"bleu": bleu, "accuracy": accuracy, "attention": looks}
    report("mechanisms", text + markdown(header, rows), data)


if __name__ == "__main__":
    begin(main)
