"""How many heads? The same width cut into 1 to 16 of them, on the pocket corpus.

python studies/heads.py
"""

import statistics

from study import (
    SHORT,
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

MODELS = {f"{heads} heads": (f"model.num_heads={heads}", *SHORT) for heads in (1, 2, 4, 8, 16)}

REFERENCE = "4 heads"


def draw(bleu: dict[str, list[float]], speed: dict[str, list[float]]) -> None:
    """Both by the number of heads: every run's BLEU; the quartiles of speed."""
    names = [label.removesuffix(" heads") for label in MODELS]
    with drawn("heads", 2) as (quality, rate):
        quality.plot(names, [statistics.mean(bleu[label]) for label in MODELS], color="grey")
        for runs in zip(*bleu.values(), strict=True):
            quality.plot(names, runs, marker="o", linestyle="")
        low, middle, high = zip(*(speed[label] for label in MODELS), strict=True)
        rate.plot(names, middle, marker="o")
        rate.fill_between(names, low, high, alpha=0.2)
        quality.set(xlabel="heads", ylabel="BLEU, test: runs and their mean")
        rate.set(xlabel="heads", ylabel=f"steps per second, relative to {REFERENCE}", ylim=(0, None))


def main() -> None:
    options = arguments(str(__doc__))
    jobs = jobs_of("heads", MODELS, options.seeds)
    train_all(jobs, options.jobs)
    bleu = by_label(jobs, test_bleu)
    times = step_seconds(trained(jobs), sentences=48, length=20, rounds=45)
    speed = {label: statistics.quantiles([one[REFERENCE] / one[label] for one in times], n=4) for label in MODELS}
    draw(bleu, speed)
    rows = [(label, spread(bleu[label]), "{1:.2f} ({0:.2f}–{2:.2f})".format(*speed[label])) for label in MODELS]
    text = (
        f"Pocket corpus and recipe, {SHORT[0]}, width 128; seeds {', '.join(map(str, options.seeds))}, mean ± sd."
        " Speed is that of a training step on one thread, relative to 4 heads: median and quartiles of"
        " alternating rounds.\n\n"
    )
    report("heads", text + markdown(("heads", "BLEU, test", "relative speed"), rows), {"bleu": bleu, "speed": speed})


if __name__ == "__main__":
    begin(main)
