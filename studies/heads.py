"""How many heads? The same width cut into 1 to 16 of them, on the pocket corpus.

python studies/heads.py
"""

import statistics

from study import SHORT, Job, arguments, by_label, markdown, report, spread, step_seconds, test_bleu, train_all, trained

MODELS = {f"{heads} heads": (f"model.num_heads={heads}", *SHORT) for heads in (1, 2, 4, 8, 16)}

REFERENCE = "4 heads"


def relative(ratios: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    options = arguments(str(__doc__))
    jobs = [Job(label, seed, made, "heads") for seed in options.seeds for label, made in MODELS.items()]
    train_all(jobs, options.jobs)
    bleu = by_label(jobs, test_bleu)
    times = step_seconds(trained(jobs), sentences=48, length=20, rounds=45)
    speed = {label: relative([one[REFERENCE] / one[label] for one in times]) for label in MODELS}
    rows = [(label, spread(bleu[label]), speed[label]) for label in MODELS]
    text = (
        f"Pocket corpus and recipe, {SHORT[0]}, width 128; seeds {', '.join(map(str, options.seeds))}, mean ± sd."
        " Speed is that of a training step on one thread, relative to 4 heads: median and quartiles of"
        " alternating rounds.\n\n"
    )
    report("heads", text + markdown(("heads", "BLEU, test", "relative speed"), rows), {"bleu": bleu, "speed": speed})


if __name__ == "__main__":
    main()
