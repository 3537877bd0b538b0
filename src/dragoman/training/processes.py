"""Several processes: who they are, who goes first, what they agree on. What crosses between them is Lightning's."""

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import lightning as L
import torch.distributed
from lightning.fabric.utilities.rank_zero import rank_zero_only

from dragoman.errors import InputError

Made = TypeVar("Made")

AGREED_EVERY = 10  # optimizer steps between two questions to all processes: each is a wait for the slowest


def launch(trainer: dict[str, Any]) -> L.Fabric:
    """Start the other processes of this machine, or join those that torchrun or SLURM started; the first one logs."""
    places = {key: trainer[key] for key in ("accelerator", "devices", "num_nodes")}
    fabric = L.Fabric(**places)
    fabric.launch()
    started = int(os.environ.get("WORLD_SIZE", 1))
    if started != fabric.world_size:
        raise InputError(
            f"{started} processes were started for {fabric.world_size}: set `trainer.devices` to those of a machine"
            " and `trainer.num_nodes` to the machines."
        )
    if not fabric.is_global_zero:
        logging.getLogger("dragoman").setLevel(logging.ERROR)
    return fabric


def is_first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


def one_then_all(fabric: L.Fabric, make: Callable[[], Made]) -> Made:
    """What `make` gives, in the first process before all others; what one of them is refused, all are."""
    made: Made | None = None
    refusal: Exception | None = None
    with fabric.rank_zero_first():
        try:
            made = make()
        except (InputError, OSError) as error:
            refusal = error
    refusals = [one for one in gathered(fabric, str(refusal) if refusal else None) if one]
    if refusals:
        raise refusal or InputError(refusals[0])
    return made  # type: ignore[return-value]


def gathered(place: Any, value: Any) -> list[Any]:
    """The value of each process, by rank; `place` knows their number (a Fabric or a Trainer)."""
    values = [value] * place.world_size
    if place.world_size > 1:
        torch.distributed.all_gather_object(values, value)
    return values


def agreed(trainer: L.Trainer, wish: bool) -> bool:
    """Whether a process wishes it; asked at an optimizer step. Several processes ask each other now and then."""
    return (trainer.world_size == 1 or trainer.global_step % AGREED_EVERY == 0) and wished(trainer, wish)


def wished(trainer: L.Trainer, wish: bool) -> bool:
    """Whether any process wishes it: a wait for the slowest of several."""
    return wish if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wish, all=False)
