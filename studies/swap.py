"""Swap: one Transformer, five attentions, on Multi30k (English to German) and on the pocket corpus.

    python studies/swap.py --folder DATA

On Multi30k each gets an equal budget of CPU time and one seed: the steps that it can take in the budget are measured
first, on this machine, and kept. On the pocket corpus each gets equal steps and three seeds: the BLEU that
`studies/mechanisms.py` has found is taken from its results; memory is that of the first steps.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import mechanisms
from dragoman.build import build
from study import (
    RESULTS,
    RUNS,
    Job,
    arguments,
    begin,
    by_label,
    configured,
    drawn,
    markdown,
    peak_memory,
    report,
    spread,
    step_seconds,
    test_bleu,
    train_all,
)

BUDGET = 15 * 60  # CPU seconds of training steps
ATTENTIONS = ("fused", "dot", "additive", "window", "linear")
SMALL = (  # the recipe of Multi30k that was measured: its overrides
    "model.dim=256",
    "model.feed_forward_dim=512",
    "model.encoder_layers=3",
    "model.decoder_layers=3",
    "validate_every=1000",
    "optimizer.lr=1.5e-3",
    "schedule.warmup_steps=400",
    "callbacks.checkpoints.average=3",
)
FIRST = 100  # steps of the pocket corpus, for memory
LENGTH = 16  # tokens of a sentence while steps are timed: the mean of both corpora
MEASURED = {"Multi30k": 2048, "pocket": 1024}  # tokens of a batch, as in the recipes


def seconds_of_steps(recipes: dict[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Corpus → attention → seconds of a training step on one thread; measured once."""
    path = RUNS / "swap" / "seconds.json"
    if not path.exists():
        found = {corpus: medians(recipe, MEASURED[corpus] // LENGTH) for corpus, recipe in recipes.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found) + "\n", "utf-8")
    kept: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8"))
    return kept


def medians(recipe: Sequence[str], sentences: int) -> dict[str, float]:
    """Attention → seconds of a step of the recipe's Transformer."""
    models = {label: build(configured([*recipe, f"swap={label}"])["model"], path="model") for label in ATTENTIONS}
    times = step_seconds(models, sentences, LENGTH, rounds=25)
    return {label: statistics.median(one[label] for one in times) for label in ATTENTIONS}


class Found(NamedTuple):
    """Of one corpus, by attention."""

    bleu: dict[str, list[float]]
    seconds: dict[str, float]  # of a step
    steps: dict[str, int]
    peak_bytes: dict[str, int]


def peaks(jobs: Sequence[Job]) -> dict[str, int]:
    """Attention → the most memory that a process had resident."""
    return {label: max(found) for label, found in by_label(jobs, lambda job: peak_memory(job.folder)).items()}


def table(found: Found, batch: int) -> str:
    """A row for each attention."""
    header = ("attention", "steps", "BLEU", "target tokens/s", "peak GiB resident")
    rows = [
        (
            label,
            f"{found.steps[label]:,}",
            spread(found.bleu[label]),
            f"{batch / found.seconds[label]:,.0f}",
            f"{found.peak_bytes[label] / 2**30:.2f}",
        )
        for label in ATTENTIONS
    ]
    return markdown(header, rows)


def draw(corpora: dict[str, Found]) -> None:
    """BLEU of each corpus as bars, its runs as dots."""
    with drawn("swap", len(corpora)) as axes:
        for axis, (corpus, found) in zip(axes, corpora.items(), strict=True):
            for label in ATTENTIONS:
                axis.bar(label, statistics.mean(found.bleu[label]), color="lightsteelblue")
                axis.plot([label] * len(found.bleu[label]), found.bleu[label], "o", color="black", markersize=4)
            axis.set(title=corpus, ylabel="BLEU", ylim=(0, 100))


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--folder", required=True, help="the folder with train.en, train.de, val.* and test_2016_flickr.*"
    )
    options = arguments(str(__doc__), parser, seeds=(1,))
    # The test set is for finished recipes: this compares on the validation set.
    recipe = ("experiment=multi30k_en_de", f"corpus.folder={options.folder}", "corpus.test=val", *SMALL)
    seconds = seconds_of_steps({"Multi30k": recipe, "pocket": mechanisms.TRANSFORMER})
    steps = {label: round(BUDGET / one / 100) * 100 for label, one in seconds["Multi30k"].items()}
    real = [
        Job(label, seed, (*recipe, f"swap={label}", f"max_steps={steps[label]}"), "swap")
        for seed in options.seeds
        for label in ATTENTIONS
    ]
    begun = (f"trainer.max_steps={FIRST}", f"test_sentences={FIRST}")
    first = [Job(label, 1, (*mechanisms.MODELS[label], *begun), "swap/pocket") for label in ATTENTIONS]
    train_all([*real, *first], options.jobs)

    bleu = json.loads((RESULTS / "mechanisms.json").read_text("utf-8"))["bleu"]
    multi30k = Found(by_label(real, test_bleu), seconds["Multi30k"], steps, peaks(real))
    pocket = Found(bleu, seconds["pocket"], dict.fromkeys(ATTENTIONS, mechanisms.STEPS), peaks(first))
    text = (
        f"Multi30k, en→de, val: {BUDGET // 60} CPU minutes of training steps for each attention; seeds"
        f" {', '.join(map(str, options.seeds))}.\n\n{table(multi30k, MEASURED['Multi30k'])}\n"
        "Pocket corpus, en→fr, test: equal steps, the runs of studies/mechanisms.py, mean ± sd; memory of the first"
        f" {FIRST} steps.\n\n{table(pocket, MEASURED['pocket'])}\n"
        "Target tokens/s are those of a training step on one thread, medians of alternating rounds.\n"
    )
    corpora = {"Multi30k, validation": multi30k, "pocket corpus, test": pocket}
    draw(corpora)
    report("swap", text, {corpus: found._asdict() for corpus, found in corpora.items()})


if __name__ == "__main__":
    begin(main)
