"""A configuration → a trained, scored run folder: the whole road, resumable anywhere."""

import logging
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch

from dragoman.build import build
from dragoman.console import watched
from dragoman.data.module import TranslationData
from dragoman.data.reading import train_tokenizers
from dragoman.errors import InputError
from dragoman.evaluation.evaluate import SOURCE, evaluate, read_scores
from dragoman.evaluation.scores import Score, bleu
from dragoman.run import LAST, PREVIOUS, SCORES, Run, begin_run, continue_run, open_run
from dragoman.text.lines import read_lines
from dragoman.text.quarantine import hand_over
from dragoman.text.splits import Splits
from dragoman.training.checkpoints import Checkpoints
from dragoman.training.precision import best_precision
from dragoman.training.scoring import ScoreTranslations
from dragoman.training.settings import check_settings
from dragoman.training.task import TranslationTask
from dragoman.training.transfer import freeze, load_fitting, take_over
from dragoman.translator import Translator

log = logging.getLogger("dragoman")


def train(config: dict[str, Any], folder: Path) -> list[Score]:
    """Train to `trainer.max_steps`, or go on to it, then score the test set; returns the scores.

    A run that is finished is not trained again, its scores are returned. InputError for whatever the user can mend,
    among it a folder that holds a run of another identity.
    """
    quiet_lightning()
    config["trainer"]["precision"] = best_precision(config["trainer"]["precision"], config["trainer"]["accelerator"])
    take_over(config, folder)
    check_settings(config, folder)
    run = open_run(folder, config)
    last = last_checkpoint(folder)
    scores = run.scores() if run else None
    whole = last is None or last.name == LAST  # else the newest checkpoint was lost, and what it held is trained again
    if run and scores and whole and config["trainer"]["max_steps"] <= run.config["trainer"]["max_steps"]:
        log.info("%s is finished; raise `trainer.max_steps` to train it further", folder)
        return read_scores(scores)
    if last:
        log.info("going on from step %s", f"{steps_in(last):,}")  # here: a damaged one is found before anything changes
    L.seed_everything(config["seed"], workers=True, verbose=False)
    reading = build(config["data"], path="data")
    corpus = build(config["corpus"], path="corpus")
    splits, rejected = reading.cleaned(corpus, config["cleaning"], watched)
    other = Run(config["init"]) if config["init"] and not run else None
    known, learner = run or other, build(config["tokenizer"], path="tokenizer")
    tokenizers = known.tokenizers() if known else train_tokenizers(reading, splits.train, learner)
    workers = config["num_workers"]
    data = TranslationData(splits, tokenizers, reading, corpus.proportions(), seed=config["seed"], num_workers=workers)
    data.setup()
    task = make_task(config, other)
    if run is None:
        begin_run(folder, config, tokenizers)
    else:
        continue_run(run, config)
    if rejected:
        hand_over(rejected, folder)
    (folder / SCORES).unlink(missing_ok=True)  # of the weights that are about to change
    fit(config, folder, data, task, last)
    return score_run(folder, splits, config)


def make_task(config: dict[str, Any], other: Run | None) -> TranslationTask:
    """A new model, with what fits of the other run's weights; optimizer and schedule are tried once.

    What they refuse is so said before anything is written.
    """
    task = TranslationTask(
        model=build(config["model"], path="model"),
        optimizer=build(config["optimizer"], path="optimizer"),
        schedule=build(config["schedule"], path="schedule"),
        label_smoothing=config["label_smoothing"],
        seed=config["seed"],
    )
    if other:
        load_fitting(task.model, other)
    freeze(task.model, config["freeze"])
    task.configure_optimizers()
    return task


def fit(config: dict[str, Any], folder: Path, data: TranslationData, task: TranslationTask, last: Path | None) -> None:
    """Lightning's part: the loop, then the best checkpoint or the average of several."""
    model = task.model
    checked = first_sentences(data.splits.validation, config["validation"]["sentences"])
    search = build(config["validation"]["search"], path="validation.search")
    translator = Translator(model, data.tokenizers, search)
    scoring = ScoreTranslations(translator, *checked)
    callbacks = [waiting(callback, folder) for callback in build(config["callbacks"], path="callbacks").values()]
    checkpoints = next(callback for callback in callbacks if isinstance(callback, Checkpoints))
    callbacks.sort(key=lambda callback: callback is checkpoints)  # last, so that it saves what the others concluded
    settings = dict(config["trainer"])
    # Lightning counts batches where we count optimizer steps.
    settings["val_check_interval"] *= settings["accumulate_grad_batches"]
    trainer = build(settings, path="trainer")(
        default_root_dir=folder,
        callbacks=[scoring, *callbacks],
        logger=[waiting(logger, folder) for logger in build(config["logger"], path="logger").values()],
        max_epochs=-1,  # the stream of batches has no end; steps are what is counted
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    try:
        trainer.fit(task, data, ckpt_path=last, weights_only=True)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # of which Lightning makes a plain exit
            raise end.__context__ from None
        raise
    model.eval()
    if trainer.is_global_zero:
        checkpoints.finish(model, lambda: bleu(translator(checked[0]), checked[1]))


def score_run(folder: Path, splits: Splits, config: dict[str, Any]) -> list[Score]:
    """Translate the test set with the weights that are kept, as `evaluate.py` would, and write the scores."""
    source, reference = first_sentences(splits.test, config["test_sentences"])
    log.info("translating the test set (%s sentences)", f"{len(source):,}")
    facts = {"run": str(folder), "source": None, "reference": None, "search": config["search"]}
    return evaluate(Translator.load(folder), list(zip(source, reference, strict=True)), folder, facts)


def first_sentences(text: Any, count: int | None) -> tuple[list[str], list[str]]:
    """Sources and references of a split, all or the first `count`."""
    part = text if count is None else text.select(range(min(count, len(text))))
    return list(part["source"]), list(part["target"])


def waiting(thing: Any, folder: Path) -> Any:
    """What was left partial waits for the run folder."""
    return thing(folder=folder) if callable(thing) else thing


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that a run can go on from; the one before it, if a kill fell between two renames."""
    return next((folder / name for name in (LAST, PREVIOUS) if (folder / name).is_file()), None)


def steps_in(checkpoint: Path) -> int:
    """The optimizer steps that a checkpoint has behind it."""
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    except Exception as error:  # a damaged file can fail in as many ways as there are readers below
        raise InputError(f"{checkpoint} is damaged: remove it to go on from {PREVIOUS}, or to start anew.") from error


def quiet_lightning() -> None:
    """Its tips and the warnings that do not apply here; what is worth saying we say."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*lr_scheduler.step.*before.*optimizer.step.*",
    ):
        warnings.filterwarnings("ignore", message)


def show_examples(folder: Path, sentences: list[str]) -> list[tuple[str, str]]:
    """Sentences and their translations; without any, the first three of the test set."""
    chosen = sentences or list(islice(read_lines(folder / SOURCE), 3))
    return list(zip(chosen, Translator.load(folder)(chosen), strict=True))
