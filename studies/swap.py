"""Swap: one Transformer, five attentions, on Multi30k (English to German) and on the pocket corpus.

    python studies/swap.py --folder DATA

On Multi30k each gets an equal budget of CPU time and one seed: the steps that it can take in the budget are measured
first, on this machine, and kept. On the pocket corpus each gets equal steps and three seeds: the runs of
`studies/mechanisms.py`, which it trains where they are not there.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import mechanisms
from dragoman.build import build
from study import (
    RUNS,
    Job,
    arguments,
    by_label,
    configured,
    markdown,
    report,
    spread,
    step_seconds,
    test_bleu,
    train_all,
    usage,
)

BUDGET = 15 * 60  # CPU seconds of training steps
ATTENTIONS = ("fused", "dot", "additive", "window", "linear")
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


def table(jobs: Sequence[Job], seconds: dict[str, float], batch: int, steps: Callable[[str], int]) -> str:
    """A row for each attention."""
    bleu, used = by_label(jobs, test_bleu), by_label(jobs, usage)
    header = ("attention", "steps", "BLEU", "target tokens/s", "peak GiB resident")
    rows = [
        (
            label,
            f"{steps(label):,}",
            spread(bleu[label]),
            f"{batch / seconds[label]:,.0f}",
            f"{max(one['peak_kib'] for one in used[label]) / 2**20:.2f}",
        )
        for label in ATTENTIONS
    ]
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--folder", required=True, help="the folder with train.en, train.de, val.* and test_2016_flickr.*"
    )
    options = arguments(str(__doc__), parser)
    # The test set is for finished recipes: this compares on the validation set.
    recipe = ("experiment=multi30k_en_de", f"corpus.folder={options.folder}", "corpus.test=val", "validate_every=500")
    seconds = seconds_of_steps({"Multi30k": recipe, "pocket": mechanisms.TRANSFORMER})
    steps = {label: round(BUDGET / one / 100) * 100 for label, one in seconds["Multi30k"].items()}
    real = [Job(label, 1, (*recipe, f"swap={label}", f"max_steps={steps[label]}"), "swap") for label in ATTENTIONS]
    generated = [
        Job(label, seed, mechanisms.MODELS[label], "mechanisms") for seed in options.seeds for label in ATTENTIONS
    ]
    train_all(real + generated, options.jobs)
    text = (
        f"Multi30k, en→de, val: {BUDGET // 60} CPU minutes of training steps for each attention, seed 1.\n\n"
        + table(real, seconds["Multi30k"], MEASURED["Multi30k"], steps.__getitem__)
        + f"\nPocket corpus, en→fr, test: equal steps; seeds {', '.join(map(str, options.seeds))}, mean ± sd.\n\n"
        + table(generated, seconds["pocket"], MEASURED["pocket"], lambda _: mechanisms.STEPS)
        + "\nTarget tokens/s are those of a training step on one thread, medians of alternating rounds.\n"
    )
    data: dict[str, Any] = {"seconds": seconds, "steps": steps}
    for corpus, jobs in (("Multi30k", real), ("pocket", generated)):
        data[corpus] = {"bleu": by_label(jobs, test_bleu), "usage": by_label(jobs, usage)}
    report("swap", text, data)


if __name__ == "__main__":
    main()
