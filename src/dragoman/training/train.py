"""A configuration → a trained, scored run folder: the whole road, resumable anywhere."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L

from dragoman.build import build
from dragoman.console import watched
from dragoman.data.module import TranslationData
from dragoman.data.reading import train_tokenizers
from dragoman.errors import InputError
from dragoman.evaluation.evaluate import SOURCE, evaluate, read_scores
from dragoman.evaluation.scores import Score
from dragoman.files import alone_in, check_alone_in
from dragoman.heartbeat import heartbeat
from dragoman.run import (
    BEST,
    CONFIG,
    LAST,
    PREVIOUS,
    SCORES,
    Run,
    begin_run,
    continue_run,
    differences,
    open_run,
    target_language,
    told,
)
from dragoman.text.lines import read_lines
from dragoman.text.quarantine import hand_over
from dragoman.text.splits import Splits
from dragoman.training.budget import AUTO, find_budget, settle_budget
from dragoman.training.checkpoints import Last, last_whole
from dragoman.training.compiled import compile_parts
from dragoman.training.fit import first_sentences, fit
from dragoman.training.precision import settle_precision
from dragoman.training.processes import is_first, launch, one_then_all
from dragoman.training.settings import check_settings
from dragoman.training.task import TranslationTask
from dragoman.training.transfer import freeze, load_fitting, take_over
from dragoman.translator import Translator

log = logging.getLogger("dragoman")

PRECISION = "fp32"  # of a run's scores
SCORED_WITH = ("search", "test_sentences")  # the keys that a score depends on and a run's identity does not


class Prepared(NamedTuple):
    """All that training needs; `last`: what it goes on from."""

    data: TranslationData
    task: TranslationTask
    last: Path | None


def train(config: dict[str, Any], folder: Path) -> list[Score]:
    """Train to `trainer.max_steps`, or go on to it, then score the test set; returns the scores.

    What `config` leaves to us (`auto`, or what another run decides) is written into it.

    A run that is finished is not trained again, its scores are returned. InputError for whatever the user can mend,
    among it a folder that holds a run of another identity. Of several processes the first alone scores, and the others
    return nothing.
    """
    quiet_lightning()
    settle_precision(config, folder)
    take_over(config, folder)
    settle_budget(config, folder)
    check_settings(config, folder)
    fabric = launch(config["trainer"])
    with heartbeat(log), ExitStack() as until_the_end:
        prepared = one_then_all(fabric, lambda: prepare(config, folder, until_the_end))
        if isinstance(prepared, list):
            return prepared
        fit(config, folder, *prepared)
        return score_run(folder, prepared.data.splits, config) if is_first() else []


def prepare(config: dict[str, Any], folder: Path, until_the_end: ExitStack) -> Prepared | list[Score]:
    """Read, clean, tokenise, build, and write what makes the folder a run; or the scores of a run that is finished."""
    before = traces(folder)
    run = open_run(folder, config)
    last = last_whole(folder)  # here: a damaged one is found before anything changes
    scores = run.scores() if run else None
    if run and scores and (last is None or last.reaches(config["trainer"]["max_steps"])):
        return told_again(run, scores, last, config)
    if last:
        log.info("going on from step %s", f"{last.step:,}")
    elif (folder / BEST).exists():
        log.warning("%s holds weights, but neither %s nor %s to go on from: trained anew", folder, LAST, PREVIOUS)
    total, end = config["schedule"].get("total_steps"), config["trainer"]["max_steps"]
    if total not in (None, end):
        log.info("training ends at step %s; the schedule spans %s (`max_steps`)", f"{end:,}", f"{total:,}")
    L.seed_everything(config["seed"], workers=True, verbose=False)
    if is_first():
        check_alone_in(folder)
    corpus = build(config["corpus"], path="corpus")
    if config["data"]["batch_tokens"] == AUTO:
        config["data"]["batch_tokens"] = find_budget(config, folder, lambda: make_task(config, None))
    reading = build(config["data"], path="data")
    splits, rejected = reading.cleaned(corpus, config["cleaning"], watched)
    other = Run(config["init"]) if config["init"] and not run else None
    known, learner = run or other, build(config["tokenizer"], path="tokenizer")
    if not is_first():
        known = Run(folder)  # which the first process has begun
    tokenizers = known.tokenizers() if known else train_tokenizers(reading, splits.train, learner)
    workers = config["num_workers"]
    data = TranslationData(splits, tokenizers, reading, corpus.proportions(), seed=config["seed"], num_workers=workers)
    data.setup()
    task = make_task(config, other)
    if is_first():
        until_the_end.enter_context(alone_since(before, folder))
        if run is None:
            begin_run(folder, config, tokenizers)
        else:
            continue_run(run, config)
        if rejected:
            hand_over(rejected, folder)
        (folder / SCORES).unlink(missing_ok=True)  # of the weights that are about to change
    return Prepared(data, task, last.path if last else None)


def told_again(run: Run, scores: dict[str, Any], last: Last | None, config: dict[str, Any]) -> list[Score]:
    """The scores of a run that is finished."""
    further = "it stopped early" if last and last.stopped else "a larger `trainer.max_steps` alone trains it further"
    log.info("%s is finished; %s", run.folder, further)
    found = read_scores(scores)
    warn_of_changes(run, scores, config)
    return found


@contextmanager
def alone_since(before: list[tuple[str, int]], folder: Path) -> Iterator[None]:
    """While it lasts nobody else trains there; InputError if somebody has, since these traces were seen."""
    with alone_in(folder):
        if traces(folder) != before:
            raise InputError(f"Another process has trained in {folder} meanwhile: start again to go on from there.")
        yield


def traces(folder: Path) -> list[tuple[str, int]]:
    """What a training there leaves, and when it was written."""
    paths = [folder / name for name in (CONFIG, LAST)]
    return [(path.name, path.stat().st_mtime_ns) for path in paths if path.exists()]


def warn_of_changes(run: Run, scores: dict[str, Any], config: dict[str, Any]) -> None:
    """The scores of a finished run are those of the settings that it was scored with."""
    then = {key: scores.get(key, run.config.get(key)) for key in SCORED_WITH}
    then["precision"] = scores.get("precision", PRECISION)
    if different := differences(then, {key: config[key] for key in SCORED_WITH} | {"precision": PRECISION}):
        log.warning(
            "It was scored with other settings (%s): scripts/evaluate.py run=%s scores it anew",
            *(told(different), run.folder),
        )


def make_task(config: dict[str, Any], other: Run | None) -> TranslationTask:
    """A new model, with what fits of the other run's weights, and all that trains it."""
    task = TranslationTask(
        model=build(config["model"], path="model"),
        optimizer=build(config["optimizer"], path="optimizer"),
        schedule=build(config["schedule"], path="schedule"),
        criterion=build(config["loss"], path="loss"),
        label_smoothing=config["label_smoothing"],
        highest_loss=config["highest_loss"],
        seed=config["seed"],
    )
    if other:
        load_fitting(task.model, other)
    freeze(task.model, config["freeze"])
    if config["compile"]:
        compile_parts(task.model, task.criterion, config["compile"])
    return task


def score_run(folder: Path, splits: Splits, config: dict[str, Any]) -> list[Score]:
    """Translate the test set with the weights that are kept, as `evaluate.py` would, and write the scores."""
    source, reference = first_sentences(splits.test, config["test_sentences"])
    log.info("translating the test set (%s sentences)", f"{len(source):,}")
    facts = {"run": str(folder), "source": None, "reference": None} | {key: config[key] for key in SCORED_WITH}
    language = target_language(config)
    return evaluate(Translator.load(folder), list(zip(source, reference, strict=True)), folder, facts, language)


def quiet_lightning() -> None:
    """Its tips and the warnings that do not apply here; what is worth saying we say."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*You defined a `validation_step` but have no.*",  # while a budget is searched
        ".*isinstance.treespec, LeafSpec.*",
        ".*lr_scheduler.step.*before.*optimizer.step.*",
        ".*recommended to use `self.log.*sync_dist=True.*",
        ".*FSDP2-wrapped module .* returned a view tensor.*",  # nothing of ours is written in place
    ):
        warnings.filterwarnings("ignore", message)


def show_examples(folder: Path, sentences: list[str] | None) -> list[tuple[str, str]]:
    """Sentences and their translations; of the first three of the test set where none are given."""
    chosen = list(islice(read_lines(folder / SOURCE), 3)) if sentences is None else sentences
    if not chosen:
        return []
    return list(zip(chosen, Translator.load(folder)(chosen), strict=True))
