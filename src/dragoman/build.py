"""Plain dict → object: the only instantiator, for scripts and run folders alike.

`_target_` names a class by its full name, `_partial_: true` leaves it waiting for a partner that only exists at run
time, every other key is a keyword argument. Knows no Hydra and, but for the names in `OWN_CLASSES`, no class.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from dragoman.errors import InputError

# What a run folder, perhaps a stranger's, may ask for: looked up by full name, never by walking attributes.
OWN_CLASSES = frozenset(
    {
        "dragoman.attention.Additive",
        "dragoman.attention.Fixed",
        "dragoman.attention.Flex",
        "dragoman.attention.Fused",
        "dragoman.attention.Linear",
        "dragoman.attention.ScaledDot",
        "dragoman.attention.SlidingWindow",
        "dragoman.models.RNNEncoderDecoder",
        "dragoman.models.RNNsearch",
        "dragoman.models.Transformer",
        "dragoman.search.Beam",
        "dragoman.search.Greedy",
        "dragoman.search.Sampling",
        "dragoman.text.corpus.Csv",
        "dragoman.text.corpus.Files",
        "dragoman.text.corpus.Folder",
        "dragoman.text.corpus.Jsonl",
        "dragoman.text.corpus.Parquet",
        "dragoman.text.corpus.Pocket",
        "dragoman.text.corpus.Tsv",
        "dragoman.text.documents.Gettext",
        "dragoman.text.documents.Tmx",
        "dragoman.text.documents.Xliff",
        "dragoman.text.documents.Xlsx",
        "dragoman.text.hub.Hub",
        "dragoman.text.mixing.Mix",
        "dragoman.text.synthetic.Synthetic",
        "dragoman.text.tokenizer.SentencePiece",
    }
)


def any_class(name: str) -> Callable[..., Any]:
    """The object of that full name, imported: for configurations that the user wrote."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"`_target_` names {name!r}, which cannot be imported ({error}).") from error


def own_class(name: str) -> Callable[..., Any]:
    """The same for configurations that somebody else may have written: Dragoman's own classes alone."""
    if not isinstance(name, str) or name not in OWN_CLASSES:
        raise InputError(f"`_target_` names {name!r}, which is not one of Dragoman's classes: refused.")
    return any_class(name)


def build(config: Any, *, resolve: Callable[[str], Callable[..., Any]] = any_class, path: str = "config") -> Any:
    """The object that `config` describes, built from the leaves up; what has no `_target_` stays what it is.

    Raises InputError, naming the place in the configuration, for a target that cannot be resolved, a key that its
    signature does not know or lacks, a value of another type, and one that its constructor refuses, now or, for what is
    left partial, later.
    """
    if isinstance(config, list):
        return [build(item, resolve=resolve, path=f"{path}[{index}]") for index, item in enumerate(config)]
    if not isinstance(config, dict):
        return config
    values = {
        key: build(value, resolve=resolve, path=f"{path}.{key}")
        for key, value in config.items()
        if key not in ("_target_", "_partial_")
    }
    if "_target_" not in config:
        return values
    target = resolve(config["_target_"])
    _check_keys(target, values, partial=bool(config.get("_partial_")), path=path)
    _check_types(target, values, path=path)
    made = functools.partial(_construct, target, path, **values)
    return made if config.get("_partial_") else made()


def _construct(target: Callable[..., Any], path: str, /, *partners: Any, **values: Any) -> Any:
    try:
        return target(*partners, **values)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {' '.join(str(error).split()).removesuffix('.')}.") from error


TYPES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}


def _check_types(target: Callable[..., Any], values: dict[str, Any], *, path: str) -> None:
    """A text where a number should be, or one too long for any, would fail somewhere deep inside.

    Only plain annotations are looked at.
    """
    for key, parameter in inspect.signature(target).parameters.items():
        kinds = get_args(parameter.annotation) if _is_union(parameter.annotation) else (parameter.annotation,)
        if key not in values or not any(kind in TYPES for kind in kinds):
            continue
        if not all(isinstance(kind, type) and get_origin(kind) is None for kind in kinds) or Any in kinds:
            continue
        value = values[key]
        if type(value) is int and value.bit_length() > 63:
            raise InputError(f"{path}: `{key}` is a number of more than 64 bits.")
        fits = bool in kinds if isinstance(value, bool) else isinstance(value, kinds)
        if not fits and not (type(value) is int and float in kinds):
            wanted = " or ".join(name for kind, name in TYPES.items() if kind in kinds)
            raise InputError(f"{path}: `{key}` is {value!r}, but must be {wanted}.")


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _check_keys(target: Callable[..., Any], values: dict[str, Any], *, partial: bool, path: str) -> None:
    """A forgotten key and an unknown one are the user's to mend, so they are told by name."""
    parameters = inspect.signature(target).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    name = getattr(target, "__name__", str(target))
    for key in values:
        if key not in parameters and not (open_ended and isinstance(key, str)):
            near = difflib.get_close_matches(str(key), parameters, n=3) or sorted(parameters)
            raise InputError(f"{path}: {name} knows no key {key!r}; nearest: {', '.join(near)}.")
    needed = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    missing = [key for key in needed if key not in values and parameters[key].kind is not inspect.Parameter.VAR_KEYWORD]
    if missing and not partial:
        raise InputError(f"{path}: {name} lacks {', '.join(missing)}.")
