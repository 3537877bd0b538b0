"""Why scale? Dot-product attention with and without the root of the head's width, at two widths.

python studies/scale.py
"""

import csv
import statistics

from study import SHORT, Job, arguments, begin, by_label, drawn, jobs_of, markdown, report, spread, test_bleu, train_all

PLACES = ("encoder_attention", "decoder_attention", "cross_attention")
UNSCALED = tuple(f"model.{place}.scale=false" for place in PLACES)
MODELS = {
    f"heads of {128 // heads}, {name}": ("swap=dot", f"model.num_heads={heads}", *made, *SHORT)
    for heads in (4, 1)
    for name, made in (("scaled", ()), ("unscaled", UNSCALED))
}


def gradient_norms(job: Job) -> dict[int, float]:
    """Step → the gradient's norm before clipping, as logged all through training."""
    with (job.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return {int(row["step"]): float(row["gradient_norm"]) for row in csv.DictReader(file) if row["gradient_norm"]}


def draw(norms: dict[str, list[dict[int, float]]]) -> None:
    """Gradient norms through training, means of the seeds."""
    with drawn("scale") as (axis,):
        for label, runs in norms.items():
            axis.plot(list(runs[0]), [statistics.mean(run[step] for run in runs) for step in runs[0]], label=label)
        axis.set(xlabel="step", ylabel="gradient norm before clipping", yscale="log")
        axis.legend()


def main() -> None:
    options = arguments(str(__doc__))
    jobs = jobs_of("scale", MODELS, options.seeds)
    train_all(jobs, options.jobs)
    bleu, norms = by_label(jobs, test_bleu), by_label(jobs, gradient_norms)
    draw(norms)
    rows = [
        (
            label,
            spread(bleu[label]),
            spread((statistics.median(one.values()) for one in norms[label]), 2),
            spread((max(one.values()) for one in norms[label]), 2),
        )
        for label in MODELS
    ]
    header = ("attention", "BLEU, test", "gradient norm, median", "largest")
    text = f"Pocket corpus and recipe, {SHORT[0]}; seeds {', '.join(map(str, options.seeds))}, mean ± sd.\n\n"
    report("scale", text + markdown(header, rows), {"bleu": bleu, "gradient_norms": norms})


if __name__ == "__main__":
    begin(main)
