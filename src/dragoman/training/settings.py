"""What can be refused before anything is read or written: a run that cannot be trained must not leave a folder."""

import math
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from dragoman.build import build
from dragoman.errors import InputError
from dragoman.search import Search
from dragoman.text.screening import make_rules
from dragoman.training.budget import AUTO
from dragoman.training.checkpoints import Checkpoints
from dragoman.training.compiled import backends
from dragoman.training.fit import parts
from dragoman.training.precision import on_gpu
from dragoman.training.transfer import freeze

# Numbers that no constructor looks at: key → lowest and highest value. Whole ones but for FRACTIONS.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "num_workers": (0, math.inf),
    "label_smoothing": (0, 1),
    "highest_loss": (0, math.inf),
    "validation.sentences": (1, math.inf),
    "test_sentences": (1, math.inf),
    "data.batch_tokens": (1, math.inf),
    "data.max_length": (1, math.inf),
    "model.max_length": (1, math.inf),
    "trainer.max_steps": (1, math.inf),
    "trainer.val_check_interval": (1, math.inf),
    "trainer.accumulate_grad_batches": (1, math.inf),
    "trainer.gradient_clip_val": (0, math.inf),
}
MONITORS = ("bleu", "validation_loss")
FRACTIONS = ("label_smoothing", "highest_loss", "trainer.gradient_clip_val")
MAY_BE_NULL = ("validation.sentences", "test_sentences", "trainer.gradient_clip_val")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")


def check_settings(config: dict[str, Any], folder: Path) -> None:
    """InputError for a number out of range, and for a search, callback or trainer that cannot be built."""
    for key, (lowest, highest) in RANGES.items():
        value = value_of(config, key)
        kinds = (int, float) if key in FRACTIONS else (int,)
        if (value is None and key in MAY_BE_NULL) or (key, value) == ("data.batch_tokens", AUTO):
            continue
        if type(value) not in kinds or not lowest <= value <= highest:
            wanted = f"at least {lowest}" if highest == math.inf else f"between {lowest} and {highest}"
            kind = "number" if key in FRACTIONS else "whole number"
            raise InputError(f"`{key}` is {value!r}, but must be a {kind}, {wanted}.")
    examples = config["examples"]
    if examples is not None and not (isinstance(examples, list) and all(isinstance(one, str) for one in examples)):
        raise InputError(f"`examples` is {examples!r}, but must be null or a list of sentences.")
    if config["compile"] is not None and config["compile"] not in backends():
        raise InputError(f"`compile` ({config['compile']}) must be null or one of {', '.join(backends())}.")
    make_rules(config["cleaning"])
    check_lengths(config)
    check_model(config)
    check_callbacks(parts(config, "callbacks", folder))
    check_trainer(config["trainer"])


def check_callbacks(callbacks: list[Any]) -> None:
    """What they watch must be there; without checkpoints nothing would be kept."""
    for monitor in (getattr(callback, "monitor", "bleu") for callback in callbacks):
        if monitor not in MONITORS:
            raise InputError(f"callbacks: `monitor` ({monitor}) must be one of {', '.join(MONITORS)}.")
    if not any(isinstance(callback, Checkpoints) for callback in callbacks):
        raise InputError("callbacks: `checkpoints` must stay, since without it no weights would be kept.")


def check_trainer(trainer: dict[str, Any]) -> None:
    """Lightning's settings, of which ours can serve fewer."""
    if trainer["precision"] not in PRECISIONS:
        raise InputError(
            f"`trainer.precision` ({trainer['precision']}) must be auto or one of {', '.join(PRECISIONS)}."
        )
    if trainer.get("gradient_clip_algorithm", "norm") != "norm":
        raise InputError("`trainer.gradient_clip_algorithm` must be norm: gradients are clipped by their norm alone.")
    if trainer["precision"] == "16-mixed" and not on_gpu(trainer["accelerator"]):
        raise InputError("`trainer.precision` is 16-mixed, which CPUs do not train in: choose auto, or trainer=gpu.")
    if on_gpu(trainer["accelerator"]) and not torch.accelerator.is_available():
        raise InputError(
            f"`trainer.accelerator` is {trainer['accelerator']}, but torch {torch.__version__} finds no GPU: choose"
            " trainer=cpu, or see to the GPU's driver and a torch that is built for it."
        )
    try:
        build(trainer, path="trainer")(max_epochs=-1, logger=False, enable_checkpointing=False)
    except (MisconfigurationException, TypeError) as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error


def check_model(config: dict[str, Any]) -> None:
    """Built without its numbers, so that what its constructor refuses is said before any text is read."""
    symbols = build(config["tokenizer"], path="tokenizer").symbols
    for name, tag in (config["corpus"].get("tags") or {}).items():
        if tag not in symbols:
            raise InputError(f"corpus.tags.{name} is {tag!r}, but no piece of its own: add it to `tokenizer.symbols`.")
    pieces = config["tokenizer"]["vocab_size"]
    for side in ("source", "target"):
        asked = config["model"][f"{side}_vocab_size"]
        if asked != pieces:
            raise InputError(
                f"`model.{side}_vocab_size` is {asked}, but the {side} tokenizer has {pieces} pieces:"
                " leave it at ${tokenizer.vocab_size}."
            )
    with torch.device("meta"):
        model = build(config["model"], path="model")
    freeze(model, config["freeze"])
    trained = [one for one in model.parameters() if one.requires_grad]
    try:
        build(config["schedule"], path="schedule")(build(config["optimizer"], path="optimizer")(trained))
    except TypeError as error:
        raise InputError(f"optimizer or schedule: {error}.") from error
    spread = "ModelParallel" in str(config["trainer"].get("strategy"))
    build(config["loss"], path="loss").check(model, spread)


def check_lengths(config: dict[str, Any]) -> None:
    """The model must reach as far as what it trains on and what it translates."""
    reach = config["model"]["max_length"]
    lengths = {"data.max_length": config["data"]["max_length"]}
    for path in ("search", "validation.search"):
        search = build(value_of(config, path), path=path)
        if not isinstance(search, Search):
            raise InputError(f"`{path}` must be a search: {path}=beam, greedy or sample.")
        lengths[f"{path}.max_source"] = search.max_source
    for key, length in lengths.items():
        if length > reach:
            raise InputError(f"`{key}` ({length}) must not exceed `model.max_length` ({reach}).")
    budget, longest = config["data"]["batch_tokens"], config["data"]["max_length"]
    if budget != AUTO and budget < longest:
        raise InputError(
            f"`data.batch_tokens` ({budget}) must hold a sentence of `data.max_length` ({longest}) tokens."
        )


def value_of(config: dict[str, Any], key: str) -> Any:
    """The value of a dotted key."""
    value: Any = config
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise InputError(f"There must be a `{key}`.")
        value = value[name]
    return value
