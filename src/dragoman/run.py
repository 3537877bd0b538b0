"""A run: a folder that is a model. config.yaml, tokenizer, weights, scores; imports no lightning and no hydra."""

import json
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from dragoman.build import build, own_class
from dragoman.errors import InputError
from dragoman.files import write_text
from dragoman.models import Seq2Seq
from dragoman.search import Search
from dragoman.text.tokenizer import Tokenizers
from dragoman.weights import Sparing, read_weights

CONFIG, BEST, LAST, PREVIOUS, SCORES = "config.yaml", "best.ckpt", "last.ckpt", "last-previous.ckpt", "scores.json"

# What makes two runs the same run: a second start with another of these is refused, all else may change.
IDENTITY = (
    *("corpus", "cleaning", "tokenizer", "data", "model", "optimizer", "schedule", "seed", "label_smoothing"),
    *("loss", "init", "freeze"),
)
IDENTITY_OF_TRAINER = ("precision", "accumulate_grad_batches", "gradient_clip_val")
LARGEST_CONFIG = 1 << 18  # bytes; ours have some 3,000
STORED = "dragoman.data.stored.Stored"  # how a run read its text before there was a choice
WHOLE = "dragoman.training.loss.WholeLoss"  # what they minimised
FUSED = "dragoman.training.fused_loss.FusedLoss"  # the same in portions
LATER: dict[str, Any] = {"freeze": [], "loss": {"_target_": WHOLE}}  # what runs did that lack the key


class PlainLoader(yaml.SafeLoader):
    """YAML without tags, without aliases, by which a small file can unfold into a tree that no memory holds, and
    without numbers that no machine's arithmetic holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias")
        return super().compose_node(parent, index)

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        number = self.construct_yaml_int(node)
        if number.bit_length() > 63:
            raise yaml.YAMLError("it holds a number of more than 64 bits")
        return number


PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_whole)


class PlainDumper(yaml.SafeDumper):
    """Writes what `PlainLoader` reads: a list that stands in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Run:
    """An existing run folder: `Run(folder)` reads its configuration and nothing else.

    The folder may come from a stranger: its YAML is read without tags, holds no interpolation, names Dragoman's own
    classes only, and its weights are read as tensors only. Everything that is wrong with it is an InputError.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config = _read_config(self.folder / CONFIG)

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.folder / BEST

    def model(self) -> Seq2Seq:
        """The model with its best weights, in eval mode, on the CPU."""
        part, weights = self._part("model"), read_weights(self.weights)
        try:
            # Takes no memory and no time, however large the numbers that a stranger wrote.
            with torch.device("meta"), Sparing(len(weights)):
                sizes = {name: tensor.shape for name, tensor in _build_model(part).state_dict().items()}
            if sizes != {name: tensor.shape for name, tensor in weights.items()}:
                raise TypeError("other names or shapes")
            model = _build_model(part)
            model.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError, OverflowError) as error:
            raise InputError(
                f"{self.folder / BEST} does not fit the model that {self.folder / CONFIG} describes."
            ) from error
        return model.eval()

    def tokenizers(self) -> Tokenizers:
        """The tokenizers that the run was trained with."""
        tokenizers = Tokenizers.load(self.folder)
        for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
            size = self._part("model").get(f"{side}_vocab_size")
            if size != len(tokenizer):
                raise InputError(
                    f"{self.folder} has a {side} tokenizer of {len(tokenizer)} pieces, but a model for {size}."
                )
        return tokenizers

    def tokenizer_config(self) -> dict[str, Any]:
        """How the tokenizers were made, for a run that takes them over."""
        return self._part("tokenizer")

    def search(self) -> Search:
        """The search that the run was configured with."""
        return build_search(self._part("search"))

    def corpus(self) -> Any:
        """The corpus that the run was trained on; reads it only when asked for a split."""
        from dragoman.text.base import Corpus  # here: it loads datasets, for which a translation need not wait

        return _build_own(self._part("corpus"), Corpus, "corpus")

    def scores(self) -> Any:
        """What the run scored on its test set; None before it is finished."""
        path = self.folder / SCORES
        return scores_in(path) if path.is_file() else None

    def _part(self, key: str) -> dict[str, Any]:
        part = self.config.get(key)
        if not isinstance(part, dict):
            raise InputError(f"{self.folder / CONFIG} lacks `{key}`.")
        if key != "corpus" and "${" in str(part):  # a corpus holds paths, whose characters are the user's own
            raise InputError(
                f"{self.folder / CONFIG}: `{key}` holds an interpolation (${{…}}) where only values may be."
            )
        return part


def scores_in(path: Path) -> Any:
    """What a scores.json holds: a dictionary, or what else somebody left there."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged; remove it and evaluate again.") from error


def target_language(config: dict[str, Any]) -> str | None:
    """The language that a run with that configuration writes; None where it does not tell."""
    corpus = config.get("corpus")
    return corpus.get("target_language") if isinstance(corpus, dict) else None


def build_search(config: dict[str, Any]) -> Search:
    """A search from its configuration."""
    return _build_own(config, Search, "search")


def _build_model(config: dict[str, Any]) -> Seq2Seq:
    return _build_own(config, Seq2Seq, "model")


def _build_own(config: dict[str, Any], kind: type, path: str) -> Any:
    made = build(config, resolve=own_class, path=path)
    if not isinstance(made, kind):
        raise InputError(f"{path}: what `_target_` ({config.get('_target_')}) makes is not a {path}.")
    return made


def open_run(folder: Path, config: dict[str, Any]) -> Run | None:
    """The run that `config` continues, or None where it begins a new one; another identity is refused.

    A folder without weights or scores has nothing to lose: a start that was given up at once may be mended.
    """
    if not is_begun(folder):
        return None
    run = Run(folder)
    different = differences(identity(run.config), identity(config))
    if different:
        raise InputError(
            f"{folder} holds another run ({told(different)}); choose another `name=`, or repeat its settings to"
            " continue it."
        )
    return run


def is_begun(folder: Path) -> bool:
    """Whether the folder holds weights or scores."""
    return any((folder / name).exists() for name in (BEST, LAST, PREVIOUS, SCORES))


def begin_run(folder: Path, config: dict[str, Any], tokenizers: Tokenizers) -> None:
    """Write what makes the folder a run: the tokenizers, then the resolved configuration."""
    tokenizers.save(folder)
    _write_config(folder / CONFIG, config)


def continue_run(run: Run, config: dict[str, Any]) -> None:
    """Record in the folder which settings outside the identity have changed since it was begun."""
    changed = differences(run.config, config)
    if not changed:
        return
    history = run.folder / "changes.txt"
    before = history.read_text("utf-8") if history.exists() else ""
    lines = [f"{time.strftime('%Y-%m-%d %H:%M:%S')} {key}: {old} -> {new}\n" for key, (old, new) in changed.items()]
    write_text(history, before + "".join(lines))
    _write_config(run.folder / CONFIG, config)
    run.config = config


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a run what it is."""
    trainer = config.get("trainer") or {}
    own = {key: config.get(key, LATER.get(key)) for key in IDENTITY}
    # A rule that is switched off is as one that a run of an earlier version did not know.
    own["cleaning"] = {name: rule for name, rule in (own["cleaning"] or {}).items() if rule is not None}
    own["data"] = {"_target_": STORED} | (own["data"] or {})
    loss = own["loss"] or {}  # portions change nothing but the memory that is needed
    own["loss"] = {key: FUSED if value == WHOLE else value for key, value in loss.items() if key != "positions"}
    return own | {"trainer": {key: trainer.get(key) for key in IDENTITY_OF_TRAINER}}


def differences(old: Any, new: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key → (old, new) for every leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return found
    return {} if old == new else {path: (old, new)}


def told(different: dict[str, tuple[Any, Any]]) -> str:
    """What `differences` found, for a sentence: five of them at most."""
    changes = [f"{key}: {old} there, {new} here" for key, (old, new) in different.items()]
    return "; ".join(changes if len(changes) <= 5 else [*changes[:5], f"{len(changes) - 5} more"])


def _write_config(path: Path, config: dict[str, Any]) -> None:
    write_text(path, yaml.dump(config, Dumper=PlainDumper, sort_keys=False, allow_unicode=True))


def _read_config(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise InputError(f"There is no run folder {path.parent}: give the folder that a training made.")
    if not path.is_file():
        raise InputError(f"{path.parent} is not a run folder: it holds no {path.name}.")
    return read_plain(path)


def read_plain(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file that may come from a stranger."""
    if path.stat().st_size > LARGEST_CONFIG:
        raise InputError(f"{path} is no configuration: it is larger than {LARGEST_CONFIG >> 10} KiB.")
    try:
        config = yaml.load(path.read_text("utf-8"), Loader=PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not plain YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is not a run's configuration.")
    return config
