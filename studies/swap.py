"""Swap: one Transformer, five attentions, an equal budget of CPU time on Multi30k, English to German.

    python studies/swap.py --folder DATA

The steps that a mechanism can take in the budget are measured first, on this machine, and kept.
"""

import argparse
import json
import statistics
from collections.abc import Sequence

from dragoman.build import build
from dragoman.models import Seq2Seq
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


def models(recipe: Sequence[str]) -> dict[str, Seq2Seq]:
    """The recipe's Transformer with each attention."""
    return {label: build(configured([*recipe, f"swap={label}"])["model"], path="model") for label in ATTENTIONS}


def budgets(recipe: Sequence[str]) -> dict[str, int]:
    """Steps for each attention, in hundreds; measured once."""
    path = RUNS / "swap" / "steps.json"
    if not path.exists():
        times = step_seconds(models(recipe), sentences=128, length=16, rounds=9)
        medians = {label: statistics.median(one[label] for one in times) for label in ATTENTIONS}
        found = {label: round(BUDGET / seconds / 100) * 100 for label, seconds in medians.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found) + "\n", "utf-8")
    steps: dict[str, int] = json.loads(path.read_text("utf-8"))
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--folder", required=True, help="the folder with train.en, train.de, val.* and test_2016_flickr.*"
    )
    options = arguments(str(__doc__), parser, seeds=[1])
    # The test set is for finished recipes: this compares on the validation set.
    recipe = ("experiment=multi30k_en_de", f"corpus.folder={options.folder}", "corpus.test=val", "validate_every=500")
    steps = budgets(recipe)
    jobs = [
        Job(label, seed, (*recipe, f"swap={label}", f"max_steps={steps[label]}"), "swap")
        for seed in options.seeds
        for label in ATTENTIONS
    ]
    train_all(jobs, options.jobs)
    bleu, used = by_label(jobs, test_bleu), by_label(jobs, usage)
    rows = [
        (
            label,
            f"{steps[label]:,}",
            spread(bleu[label]),
            f"{statistics.mean(one['cpu_seconds'] for one in used[label]) / 60:.1f}",
            f"{max(one['peak_kib'] for one in used[label]) / 2**20:.2f}",
        )
        for label in ATTENTIONS
    ]
    header = (
        "attention",
        "steps in the budget",
        "BLEU, val",
        "CPU minutes, all in all",
        "peak GiB resident",
    )
    text = (
        f"Multi30k, en→de, {BUDGET // 60} CPU minutes of training steps each; seeds"
        f" {', '.join(map(str, options.seeds))}. CPU minutes count tokenising, validation and the test too.\n\n"
    )
    report("swap", text + markdown(header, rows), {"steps": steps, "bleu": bleu, "usage": used})


if __name__ == "__main__":
    main()
