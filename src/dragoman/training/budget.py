"""`data.batch_tokens: auto`: the largest budget of tokens that a GPU holds, found once, before a run begins."""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from dragoman.data.batch import Batch
from dragoman.errors import InputError
from dragoman.run import Run, is_begun
from dragoman.tensors import out_of_memory
from dragoman.training.fit import make_trainer
from dragoman.training.precision import on_gpu
from dragoman.training.task import TranslationTask

log = logging.getLogger("dragoman")

AUTO = "auto"
FIRST, MOST = 1 << 10, 1 << 18  # tokens; beyond these a larger batch teaches little more
SHORT = 8  # tokens of the sentences of which a batch holds the most
WITHIN, MARGIN = 0.1, 0.1  # of the budget: how near the search comes, and what stays free for the unforeseen
Trial = Callable[[int], None]  # with a budget; an error of memory where it does not fit


def settle_budget(config: dict[str, Any], folder: Path) -> None:
    """A run that was begun keeps the number that it found. InputError where there is no GPU to search on."""
    if config["data"]["batch_tokens"] != AUTO:
        return
    if is_begun(folder):
        config["data"]["batch_tokens"] = Run(folder).config["data"]["batch_tokens"]
    elif not on_gpu(config["trainer"]["accelerator"]) or config["trainer"]["devices"] != 1:
        raise InputError("`data.batch_tokens: auto` measures the memory of one GPU: elsewhere give a number, say 4096.")


def find_budget(config: dict[str, Any], folder: Path, make_task: Callable[[], TranslationTask]) -> int:
    """By steps of a model made for it, which nothing survives: the run is the one that was given the number by hand."""
    with isolate_rng():
        trial = real_trial(config, folder, make_task())
        found = largest(trial, config["data"]["max_length"])
        del trial
    free()
    torch._dynamo.reset()
    log.info("`data.batch_tokens: auto`: %s tokens, a tenth less than fit", f"{found:,}")
    return found


def largest(trial: Trial, longest: int) -> int:
    """Doubled until it does not fit, then halved between; less the margin. InputError where hardly a sentence fits."""
    fitting = max(FIRST, 2 * longest)
    if not fits(trial, fitting):
        raise InputError(
            f"Memory does not suffice for {fitting} tokens, two of the longest sentences: lower `data.max_length`"
            f" ({longest}), or take a smaller model."
        )
    while fitting < MOST and fits(trial, 2 * fitting):
        fitting *= 2
    beyond = 2 * fitting if fitting < MOST else fitting
    while beyond - fitting > WITHIN * fitting:
        middle = (fitting + beyond) // 2
        fitting, beyond = (middle, beyond) if fits(trial, middle) else (fitting, middle)
    return max(longest, int(fitting * (1 - MARGIN)))


def fits(trial: Trial, tokens: int) -> bool:
    try:
        trial(tokens)
    except Exception as error:
        if not out_of_memory(error):
            raise
        enough = False
    else:
        enough = True
    free()  # here: the error held what had been allocated
    return enough


def free() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def real_trial(config: dict[str, Any], folder: Path, task: TranslationTask) -> Trial:
    """Optimizer steps as training takes them, of the worst batches: the longest sentences, and the most sentences."""
    longest, accumulated = config["data"]["max_length"], config["trainer"]["accumulate_grad_batches"]

    def trial(tokens: int) -> None:
        worst = [worst_batch(tokens, length) for length in (longest, min(SHORT, longest), longest)]
        settings = config["trainer"] | {"max_steps": len(worst), "limit_val_batches": 0}
        batches = DataLoader([batch for batch in worst for _ in range(accumulated)], batch_size=None)  # type: ignore[arg-type,var-annotated]
        make_trainer(config | {"trainer": settings, "logger": {}}, folder, []).fit(task, batches)

    return trial


def worst_batch(tokens: int, length: int) -> Batch:
    """As many pairs of that length on both sides as the budget holds, no padding."""
    ids = torch.full((tokens // length, length + 1), 4)
    return Batch(ids[:, 1:].contiguous(), ids)
