"""Lightning's part of the road: the loop, what watches it, and the weights that are kept in the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from dragoman.build import build
from dragoman.data.module import TranslationData
from dragoman.errors import InputError
from dragoman.machine import keep_freed_memory
from dragoman.models import Seq2Seq
from dragoman.run import LAST, WHOLE, target_language
from dragoman.tensors import out_of_memory, read_tensors
from dragoman.training.checkpoints import CheckedFiles, Checkpoints, of_model
from dragoman.training.guard import Guard
from dragoman.training.loggers import Forgiving
from dragoman.training.provenance import Provenance
from dragoman.training.scoring import ScoreTranslations
from dragoman.training.spread import is_spread
from dragoman.training.stopping import StopOnSignal
from dragoman.training.task import TranslationTask
from dragoman.translator import Translator


def fit(config: dict[str, Any], folder: Path, data: TranslationData, task: TranslationTask, last: Path | None) -> None:
    """Train from `last` on, or from the beginning; leaves the best checkpoint, or the average of several.

    InputError when memory does not suffice or the loss is no number, Stopped after a signal.
    """
    model = task.model
    checked = first_sentences(data.splits.validation, config["validation"]["sentences"])
    translator = Translator(model, data.tokenizers, build(config["validation"]["search"], path="validation.search"))
    callbacks = parts(config, "callbacks", folder)
    checkpoints = next(callback for callback in callbacks if isinstance(callback, Checkpoints))
    callbacks.sort(key=lambda callback: callback is checkpoints)  # last, so that it saves what the others concluded
    provenance = Provenance(folder, {"seed": config["seed"], "data": data.fingerprints()})
    language = target_language(config)
    watching = [ScoreTranslations(translator, *checked, language), provenance, *callbacks, StopOnSignal()]
    trainer = make_trainer(config, folder, watching)
    try:
        trainer.fit(task, data, ckpt_path=last, weights_only=True)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # of which Lightning makes a plain exit
            raise end.__context__ from None
        raise
    except Exception as error:
        if out_of_memory(error):
            raise InputError(told_of_memory(config, folder, callbacks)) from error
        raise
    if trainer.is_global_zero:
        whole = whole_model(config, folder, model).eval().to(trainer.strategy.root_device)  # which training has left
        scorer = ScoreTranslations(Translator(whole, data.tokenizers, translator.search), *checked, language)
        checkpoints.finish(whole, scorer.of_all)


def whole_model(config: dict[str, Any], folder: Path, model: Seq2Seq) -> Seq2Seq:
    """The model, or, where it is spread over processes, another with what they saved together."""
    if not is_spread(model):
        return model
    whole: Seq2Seq = build(config["model"], path="model")
    whole.load_state_dict(of_model(read_tensors(folder / LAST)["state_dict"]))
    return whole


def make_trainer(config: dict[str, Any], folder: Path, callbacks: Sequence[L.Callback]) -> L.Trainer:
    """Lightning's, as configured, without what we do ourselves."""
    keep_freed_memory()
    torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for each shape, and batches have many
    settings = dict(config["trainer"])
    # Lightning counts batches where we count optimizer steps.
    settings["val_check_interval"] *= settings["accumulate_grad_batches"]
    made: L.Trainer = build(settings, path="trainer")(
        default_root_dir=folder,
        callbacks=list(callbacks),
        logger=[Forgiving(logger) for logger in parts(config, "logger", folder)],
        plugins=[CheckedFiles()],
        max_epochs=-1,  # the stream of batches has no end; steps are what is counted
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    return made


def told_of_memory(config: dict[str, Any], folder: Path, callbacks: Sequence[L.Callback]) -> str:
    """What did not fit, and what to do: another batch size makes another run, which may begin from this one."""
    guard = next((one for one in callbacks if isinstance(one, Guard)), None)
    shapes = guard.shapes() if guard else "a batch"
    data = config["data"]
    portions = "take loss=fused, or " if config["loss"]["_target_"] == WHOLE else ""
    lower = f"lower `data.batch_tokens` ({data['batch_tokens']}) or `data.max_length` ({data['max_length']})"
    told = f"Memory does not suffice for {shapes}: {portions}{lower} under another `name=`"
    if not (folder / LAST).exists():
        return f"{told}; no step was taken yet."
    return (
        f"{told}, with init={folder} to keep what was learnt; the run is saved, and the same command goes on where"
        " there is more memory."
    )


def first_sentences(text: Any, count: int | None) -> tuple[list[str], list[str]]:
    """Sources and references of a split, all or the first `count`."""
    part = text if count is None else text.select(range(min(count, len(text))))
    return list(part["source"]), list(part["target"])


def parts(config: dict[str, Any], key: str, folder: Path) -> list[Any]:
    """Callbacks or loggers by name, but for those that are null; what was left partial waits for the run folder."""
    made = [one for one in build(config[key], path=key).values() if one is not None]
    return [one(folder=folder) if callable(one) else one for one in made]
