"""What a run takes from another, `init`, and what of its weights stays as it is, `freeze`."""

import difflib
import logging
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from dragoman.build import build, own_class
from dragoman.errors import InputError
from dragoman.run import Run, is_begun

log = logging.getLogger("dragoman")


def take_over(config: dict[str, Any], folder: Path) -> None:
    """With `init`, the tokenizer and the sizes of the vocabularies become those of the run that is begun from.

    A run that goes on has them in its own folder, and needs the other one no more.
    """
    if config["init"] is None:
        return
    if not isinstance(config["init"], str):
        raise InputError(f"`init` is {config['init']!r}, but must be the folder of one run, or null.")
    try:
        run = Run(folder if is_begun(folder) else config["init"])
    except InputError as error:
        raise InputError(f"`init`: {error}") from error
    # What its version of Dragoman did not ask for yet is as it is configured here.
    config["tokenizer"] = config["tokenizer"] | run.tokenizer_config()
    build(config["tokenizer"], resolve=own_class, path=f"tokenizer of {run.folder}")
    for side, tokenizer in run.tokenizers()._asdict().items():
        config["model"][f"{side}_vocab_size"] = len(tokenizer)


class Fit(NamedTuple):
    """Names of a model's tensors, one for each: those that another model has too, and why not the others."""

    loaded: list[str]
    absent: list[str]
    other_shape: list[str]


def load_fitting(model: nn.Module, other: Run) -> None:
    """Load the weights of `other` that have their name and shape in `model`; the log tells which, and why not the rest.

    InputError if there are none. A tied weight, which has several names, is loaded once, by the first that `other` has.
    """
    theirs, ours = other.model().state_dict(), model.state_dict()
    fit = compare(ours, theirs)
    left = reasons(fit, ours, theirs)
    if not fit.loaded:
        raise InputError(
            f"Nothing of `init` ({other.folder}) fits this model: {left}; choose its own `experiment` and `model`."
        )
    for name in fit.loaded:
        ours[name].copy_(theirs[name])
    loaded, whole = (sum(ours[name].numel() for name in names) for names in (fit.loaded, chain(*fit)))
    log.info(
        "from %s: the tokenizer, and %d of %d tensors (%s of %s parameters)",
        *(other.folder, len(fit.loaded), sum(map(len, fit)), f"{loaded:,}", f"{whole:,}"),
    )
    if left:
        log.info("not loaded: %s; all is with the `experiment` and `model` that the other run was made with", left)


def compare(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> Fit:
    """Which of our tensors are to be had there."""
    fit = Fit([], [], [])
    for names in same_tensor(ours):
        shared = [name for name in names if name in theirs]
        fitting = [name for name in shared if theirs[name].shape == ours[name].shape]
        kind = fit.loaded if fitting else fit.other_shape if shared else fit.absent
        kind.append((fitting or shared or names)[0])
    return fit


def reasons(fit: Fit, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> str:
    """Which tensors are not the other run's, and which of its own are not used; empty if all fit."""
    every = dict.fromkeys(  # those of all layers as one
        f"{re.sub(r'[.][0-9]+[.]', '.*.', name)} ({shape_of(theirs[name])} there, {shape_of(ours[name])} here)"
        for name in fit.other_shape
    )
    shapes = [*every] if len(every) <= 5 else [*[*every][:4], f"{len(every) - 4} more"]
    told = {
        "absent there": shortened(fit.absent, ours),
        "of another shape": shapes,
        "not wanted here": shortened([name for name in theirs if name not in ours], theirs),
    }
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in told.items() if names)


def shape_of(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape))


def shortened(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names, with `part.*` for all that are known of a part."""
    chosen, every = set(names), list(known)
    found: dict[str, None] = {}
    for name in every:
        if name in chosen:
            whole = (part for part in parts(name) if all(one in chosen for one in every if one.startswith(f"{part}.")))
            part = next(whole, None)
            found[f"{part}.*" if part else name] = None
    return list(found)


def parts(name: str) -> Iterator[str]:
    """Of "encoder.0.norm.weight": encoder, encoder.0, encoder.0.norm."""
    steps = name.split(".")
    return (".".join(steps[:count]) for count in range(1, len(steps)))


def same_tensor(weights: dict[str, Tensor]) -> list[list[str]]:
    """The names, those of tied weights together."""
    groups: dict[int, list[str]] = {}
    for name, tensor in weights.items():
        groups.setdefault(tensor.data_ptr(), []).append(name)
    return list(groups.values())


def freeze(model: nn.Module, patterns: str | list[str]) -> None:
    """Parameters whose name matches one of the patterns (as in fnmatch) are not trained; a tied one by any name.

    InputError for a pattern that matches none, and if nothing is left to train.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    wanted = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(wanted, list) or not all(isinstance(pattern, str) for pattern in wanted):
        raise InputError(f"`freeze` is {patterns!r}, but must be a list of patterns of parameter names.")
    for pattern in wanted:
        matched = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matched:
            near = difflib.get_close_matches(pattern, [*parameters, *patterns_of(parameters)], n=3, cutoff=0.4)
            raise InputError(
                f"`freeze`: no parameter is named {pattern!r}; {'nearest' if near else 'there are'}:"
                f" {', '.join(near or shortened(parameters, parameters))}."
            )
        for name in matched:
            parameters[name].requires_grad_(False)
    if not any(one.requires_grad for one in parameters.values()):
        raise InputError(f"`freeze` ({', '.join(wanted)}) leaves no parameter to train; take a pattern out.")


def patterns_of(names: Iterable[str]) -> list[str]:
    """Every pattern that names a whole part."""
    return list(dict.fromkeys(f"{part}.*" for name in names for part in parts(name)))
