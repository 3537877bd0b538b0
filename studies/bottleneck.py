"""The bottleneck: BLEU by sentence length for the fixed vector, RNNsearch and the Transformer.

    python studies/bottleneck.py

After Bahdanau et al. 2015, figure 2: trained on sentences of up to 30 words, tested on up to 60. Draws bottleneck.png.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dragoman.text.lines import read_lines
from dragoman.text.pocket import generate
from dragoman.text.pocket.choices import Dice
from dragoman.text.pocket.corpus import SEEN, render, split_of
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.sentences import chain
from study import (
    FAST,
    RECURRENT,
    RUNS,
    Job,
    arguments,
    begin,
    by_label,
    drawn,
    evaluate,
    jobs_of,
    markdown,
    report,
    spread,
    train_all,
)

LONGEST_TRAINED, LONGEST, STEP, OF_EACH = 30, 60, 10, 150
DATA = RUNS / "bottleneck" / "data"
STEPS = ("max_steps=2500", "validate_every=2500")
MODELS = {
    "GRU, fixed vector": ("model=rnn", *RECURRENT, *STEPS),
    "RNNsearch": ("model=rnnsearch", *RECURRENT, *STEPS),
    "Transformer, sinusoidal": ("model.positions=sinusoidal", FAST, *STEPS),
    "Transformer, rotary": (FAST, *STEPS),
}


def corpus(folder: Path) -> tuple[str, ...]:
    """What trains on a folder of this kind."""
    return ("corpus=folder", f"corpus.folder={folder}", "corpus.source_language=en", "corpus.target_language=fr")


def pairs_of(low: int, high: int) -> Iterator[tuple[str, str]]:
    """Chains of clauses of so many words that no training split may hold, without end."""
    grammar = Grammar(Dice(low), SEEN)
    while True:
        pair = render(chain(grammar, grammar.dice.pick(range(low // 10 + 2))))
        if low <= len(pair.source.split()) <= high and split_of(pair.target) == "test":
            yield pair


def write(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    """NAME.en and NAME.fr."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, lines in zip(("en", "fr"), zip(*pairs, strict=True), strict=True):
        (folder / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read(folder: Path, name: str) -> list[tuple[str, str]]:
    """What `write` wrote."""
    return list(zip(*(read_lines(folder / f"{name}.{language}") for language in ("en", "fr")), strict=True))


def write_corpus() -> None:
    """Training and validation up to 30 words; as many test sentences of each length up to 60."""
    if (DATA / "test.fr").exists():
        return
    for name, size in (("train", 42_000), ("validation", 1_000)):
        pairs = generate(name, size=size, seed=2026)  # type: ignore[arg-type]
        write(DATA, name if name == "train" else "val", [p for p in pairs if len(p.source.split()) <= LONGEST_TRAINED])
    lows = range(1, LONGEST, STEP)
    write(DATA, "test", [pair for low in lows for pair in islice(pairs_of(low, low + STEP - 1), OF_EACH)])


def draw(found: dict[str, dict[str, list[float]]]) -> None:
    """BLEU by length with the spread of the seeds."""
    with drawn("bottleneck") as (axis,):
        for label, buckets in found.items():
            names, runs = list(buckets), list(buckets.values())
            axis.plot(names, [sum(values) / len(values) for values in runs], marker="o", label=label)
            axis.fill_between(names, [min(values) for values in runs], [max(values) for values in runs], alpha=0.2)
        axis.axvline(LONGEST_TRAINED / STEP - 0.5, color="grey", linestyle=":")
        axis.annotate("longest in training", (LONGEST_TRAINED / STEP - 0.45, 3), color="grey")
        axis.set(xlabel="source words", ylabel="BLEU", ylim=(0, 101))
        axis.legend()


def main() -> None:
    options = arguments(str(__doc__))
    write_corpus()
    jobs = jobs_of("bottleneck", MODELS, options.seeds, *corpus(DATA))
    train_all(jobs, options.jobs)

    def buckets(job: Job) -> dict[str, float]:
        content = json.loads(evaluate(job).read_text("utf-8"))
        return {f"{one['low']}–{one['high']}": one["bleu"]["value"] for one in content["by_length"]}

    measured = by_label(jobs, buckets)
    found = {label: {name: [one[name] for one in runs] for name in runs[0]} for label, runs in measured.items()}
    draw(found)
    names = list(next(iter(found.values())))
    rows = [(label, *(spread(by_name[name]) for name in names)) for label, by_name in found.items()]
    text = (
        f"Pocket corpus, trained on at most {LONGEST_TRAINED} words; {OF_EACH} test sentences of each length; seeds"
        f" {', '.join(map(str, options.seeds))}, mean ± sd.\n\n![BLEU by length](bottleneck.png)\n\n"
    )
    report("bottleneck", text + markdown(("BLEU by source words", *names), rows), found)


if __name__ == "__main__":
    begin(main)
