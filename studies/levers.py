"""What helps on Multi30k, English to German: each lever alone beside the same recipe without it, on val.

    python studies/levers.py --folder DATA
    python studies/levers.py --folder DATA --jobs 12 --overrides trainer=gpu

DATA holds train.* and val.* in en, de and fr. The test set is not read. Distillation and back-translation come last,
since they need the recipe itself and its reverse. What a run scored and where is kept in docs/studies/levers.json as
soon as it is known, and a run that is known is not trained again, here or elsewhere: without that file all are.
"""

import argparse
import gzip
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragoman.files import write_json
from dragoman.text.lines import read_lines, side_of
from study import (
    RESULTS,
    RUNS,
    Job,
    arguments,
    begin,
    cost,
    jobs_of,
    markdown,
    recorded,
    report,
    spread,
    synthesise,
    test_bleu,
    train_all,
)

RECORD = RESULTS / "levers.json"
RECIPE, REVERSE = "the recipe", "German to English"
OWN, BACK = "self-distillation", "back-translation, sampled, tagged"
Levers = dict[str, tuple[str, ...]]  # label → overrides
Found = dict[str, dict[str, dict[str, Any]]]  # label → seed → BLEU of val, and what `study.cost` tells
LEVERS: Levers = {
    "width 256, feed-forward 512, learning rate 1.5e-3": (
        "model.dim=256",
        "model.feed_forward_dim=512",
        "optimizer.lr=1.5e-3",
    ),
    "feed-forward 512": ("model.feed_forward_dim=512",),
    "3 + 3 layers": ("model.encoder_layers=3", "model.decoder_layers=3"),
    "6 + 6 layers": ("model.encoder_layers=6", "model.decoder_layers=6"),
    "vocabulary 2,000": ("tokenizer.vocab_size=2000",),
    "vocabulary 4,000": ("tokenizer.vocab_size=4000",),
    "vocabulary 12,000": ("tokenizer.vocab_size=12000",),
    "unigram sampling, alpha 0.3": ("data=sampled", "data.alpha=0.3"),
    "unigram sampling, alpha 0.1": ("data=sampled",),
    "BPE instead of unigram": ("tokenizer=bpe",),
    "BPE, BPE-dropout 0.1": ("tokenizer=bpe", "data=sampled"),
    "label smoothing 0": ("label_smoothing=0",),
    "label smoothing 0.2": ("label_smoothing=0.2",),
    "R-Drop": ("loss=r_drop",),
    "dropout 0.2": ("model.dropout=0.2",),
    "dropout 0.4": ("model.dropout=0.4",),
    "dropout 0.1 in feed-forward networks": ("model.feed_forward_dropout=0.1",),
    "dropout 0.1 of attention": ("model.attention_dropout=0.1",),
    "batches of 1,024": ("data.batch_tokens=1024",),
    "batches of 4,096": ("data.batch_tokens=4096",),
    "learning rate 1.5e-3": ("optimizer.lr=1.5e-3",),
    "learning rate 5e-3": ("optimizer.lr=5e-3",),
    "post-norm, learning rate 1.5e-3": ("model.norm=post", "optimizer.lr=1.5e-3"),
    "only the target embeddings tied": ("model.tied_embeddings=target",),
    "rotary positions": ("model.positions=rotary",),
    "weight decay 0.01": ("optimizer.weight_decay=0.01",),
    "no averaging": ("callbacks.checkpoints.average=1",),
    "moving average of the weights, decay 0.998, instead of averaged checkpoints": (
        "callbacks.checkpoints.average=1",
        "+callbacks.ema._target_=studies.ema.MovingAverage",
        "+callbacks.ema.decay=0.998",
    ),
}
SAMPLED = ("search=sample", "filter.min_log_probability=-3")
TAGS = "tokenizer.symbols=['<2de>','<2fr>','<2en>']"


def lines_of(data: Path, stem: str, language: str) -> list[str]:
    """The lines of one side of a split."""
    return list(read_lines(side_of(data, stem, language)))


def joint(data: Path, folder: Path, directions: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """A corpus of several directions, its sources tagged with the language to write; validated on the first alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, chosen in (("train", directions), ("val", directions[:1])):
        pairs = [
            (f"<2{target}> {line}", translation)
            for source, target in chosen
            for line, translation in zip(lines_of(data, stem, source), lines_of(data, stem, target), strict=True)
        ]
        for number, ending in enumerate(("en", "de")):
            with gzip.open(folder / f"{stem}.{ending}.gz", "wt", encoding="utf-8") as file:
                file.writelines(f"{pair[number]}\n" for pair in pairs)
    return (f"corpus.folder={folder}", TAGS)


def taught(data: Path, folder: Path, teacher: Job, reverse: Job) -> Levers:
    """The real pairs, and those that the recipe itself or its reverse makes of the text of one side."""
    own, back = folder / "own.tsv", folder / "back.tsv"
    synthesise(teacher, side_of(data, "train", "en"), own, "as=distillation")
    synthesise(reverse, side_of(data, "train", "de"), back, "as=back_translation", "tag=<bt>", *SAMPLED)
    return {
        OWN: ("corpus=synthetic", f"corpus.synthetic={own}"),
        BACK: ("corpus=synthetic", f"corpus.synthetic={back}", "tokenizer.symbols=['<bt>']"),
    }


def known(shared: Sequence[str]) -> Found:
    """What earlier starts with the same overrides have found, wherever their runs are now."""
    record = recorded("levers") or {"overrides": list(shared), "found": {}}
    if record["overrides"] != list(shared):
        sys.exit(f"{RECORD} tells of runs with {' '.join(record['overrides'])}: give the same, or move it away.")
    found: Found = record["found"]
    return found


def table(found: Found) -> str:
    """The levers, the best one last, and what each gains over the recipe."""
    bleu = {label: [one["BLEU"] for one in runs.values()] for label, runs in found.items() if label != REVERSE}
    mean = {label: statistics.mean(values) for label, values in bleu.items()}
    rows = [
        (label, spread(bleu[label]), f"{mean[label] - mean[RECIPE]:+.1f}" if label != RECIPE else "")
        for label in sorted(mean, key=mean.__getitem__)
    ]
    return markdown(("lever", "BLEU, val", "gain"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--folder", required=True, type=Path, help="the folder with train.* and val.* in en, de, fr")
    parser.add_argument("--steps", type=int, default=2000, help="of each run")
    parser.add_argument("--overrides", nargs="*", default=[], help="of all runs: trainer=gpu, say")
    options = arguments(str(__doc__), parser, seeds=[1])
    folder = options.folder.resolve()
    study = f"levers/{options.steps}"
    made = RUNS / study / "made"
    shared = ("experiment=multi30k_en_de", "corpus.test=val", f"max_steps={options.steps}", "validate_every=500")
    shared += ("validation.sentences=200", *options.overrides)
    found = known(shared)
    record = {"overrides": shared, "found": found}

    def keep(job: Job) -> None:
        found.setdefault(job.label, {})[str(job.seed)] = {"BLEU": test_bleu(job), **cost(job.folder)}
        write_json(RECORD, record)

    def unknown(levers: Levers) -> list[Job]:
        jobs = jobs_of(study, levers, options.seeds, f"corpus.folder={folder}", *shared)
        return [job for job in jobs if str(job.seed) not in found.get(job.label, {})]

    joined = {
        "joint with French": joint(folder, made / "french", (("en", "de"), ("en", "fr"))),
        "joint with German to English": joint(folder, made / "reverse", (("en", "de"), ("de", "en"))),
    }
    train_all(unknown({RECIPE: (), **LEVERS, **joined}), options.jobs, keep)
    if unknown({OWN: (), BACK: ()}):
        both = {RECIPE: (), REVERSE: ("corpus.source_language=de", "corpus.target_language=en")}
        teachers = jobs_of(study, both, options.seeds[:1], f"corpus.folder={folder}", *shared)
        train_all(teachers, options.jobs, keep)
        train_all(unknown(taught(folder, made, *teachers)), options.jobs, keep)
    machines = {one["machine"] for runs in found.values() for one in runs.values()}
    text = (
        f"Multi30k, en→de, {options.steps:,} steps each; seeds {', '.join(map(str, options.seeds))}. BLEU of val with"
        " beam 5, the recipe's other values unchanged.\n\n"
    )
    report("levers", text + table(found), record, "; ".join(sorted(machines)))


if __name__ == "__main__":
    begin(main)
