"""A run folder that somebody else made: whatever stands in it, nothing of it is executed, and it is refused quickly."""

import os
import pickle
import re
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import Runs
from dragoman.build import OWN_CLASSES, any_class, build, own_class
from dragoman.errors import InputError
from dragoman.run import Run, begin_run
from dragoman.text.corpus import Corpus
from dragoman.translator import Translator

CANARY = Path("canary")  # what an attack that succeeds leaves in the working folder


@pytest.fixture
def theirs(trained: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.first, tmp_path / "theirs")
    return Path("theirs")


class Payload:
    """Unpickled, it makes the canary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(CANARY),)


def part(name: str, value: Any) -> Callable[[Path], object]:
    """The configuration with another value at a dotted key."""

    def change(folder: Path) -> None:
        config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        *path, leaf = name.split(".")
        place = config
        for key in path:
            place = place[key]
        place[leaf] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")

    return change


def prefixed(text: str) -> Callable[[Path], object]:
    """The configuration behind a line of the attacker's."""

    def change(folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(text + path.read_text("utf-8"), "utf-8")

    return change


def target(name: Any, **values: Any) -> dict[str, Any]:
    return {"_target_": name, **values}


def pickled(name: str, protocol: int = 2) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(pickle.dumps(Payload(), protocol))


def weights(content: Any, **how: Any) -> Callable[[Path], object]:
    return lambda folder: torch.save(content, folder / "best.ckpt", **how)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


LAUGHS = "a0: &a0 [ha, ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)  # 9 to the power of 29 strings, were the aliases ever copied
NOT_OURS = "is not one of Dragoman's classes: refused"
DAMAGED = "best.ckpt is damaged or not a Dragoman checkpoint"
YAML_ONLY = "config.yaml is not plain YAML"
TARGETS = [
    "os.system", "os.mkdir", "posix.system", "subprocess.run", "subprocess.Popen", "builtins.eval", "builtins.exec",
    "pickle.loads", "torch.load", "torch.hub.load", "shutil.rmtree", "pathlib.Path.mkdir", "importlib.import_module",
    "dragoman.run.Path.mkdir", "dragoman.run.Path.write_text", "dragoman.run.torch.save", "dragoman.run.torch.load",
    "dragoman.attention.fused.torch.hub.load", "dragoman.files.os.mkdir", "dragoman.files.write_text",
    "dragoman.build.importlib.import_module", "dragoman.build.any_class", "dragoman.run.read_weights",
    "dragoman.models.Transformer.__init__", "dragoman.models.Transformer.load_state_dict", "dragoman.search.beam.Beam",
    "dragoman.search.Beam ", " dragoman.search.Beam", "dragoman.search.beam", "Beam", "", ".",
    "dragoman.models.Ensemble", "dragoman.translator.Translator.load", "dragoman.training.train.train",
    "hydra.utils.instantiate",
]  # fmt: skip
SIZES = {"source_vocab_size": 400, "target_vocab_size": 400}
ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    **{f"search: {name!r}": (part("search", target(name, path=str(CANARY))), NOT_OURS) for name in TARGETS},
    "the model": (part("model", target("os.mkdir", path="canary") | SIZES), NOT_OURS),
    "inside the model": (part("model.encoder_attention", target("os.mkdir", path="canary")), NOT_OURS),
    "inside the model, partial": (part("model.cross_attention", target("os.mkdir", _partial_=True)), NOT_OURS),
    "in place of a number": (part("model.dim", target("os.mkdir", path="canary")), NOT_OURS),
    "in a list": (part("model.dim", [target("os.mkdir", path="canary")]), NOT_OURS),
    "in a list in a list in a dict": (part("model.dim", {"x": [[target("os.mkdir", path="canary")]]}), NOT_OURS),
    "in a search": (part("search.max_source", target("os.mkdir", path="canary")), NOT_OURS),
    "a partial search": (part("search", target("os.mkdir", _partial_=True)), NOT_OURS),
    "a target that is built": (part("search", target(target("os.mkdir", path="canary"))), NOT_OURS),
    "a list as target": (part("search", target(["os.mkdir"])), NOT_OURS),
    "partial as a class": (part("search._partial_", target("os.mkdir", path="canary")), "search"),
    "environment": (part("search.max_source", "${oc.env:HOME}"), r"`search` holds an interpolation \(\$\{…\}\)"),
    "environment in the model": (part("model.dim", "${oc.env:HOME}"), "`model` holds an interpolation"),
    "resolver deep inside": (part("model.encoder_attention.x", ["${oc.decode:x}"]), "`model` holds an interpolation"),
    "interpolated key": (part("search", {"${oc.env:HOME}": 1}), "`search` holds an interpolation"),
    "python/object/apply": (prefixed("x: !!python/object/apply:os.mkdir [canary]\n"), YAML_ONLY),
    "python/object/new": (prefixed("x: !!python/object/new:os.mkdir [canary]\n"), YAML_ONLY),
    "python/name": (prefixed("x: !!python/name:os.mkdir\n"), YAML_ONLY),
    "python/module": (prefixed("x: !!python/module:antigravity\n"), YAML_ONLY),
    "several documents": (prefixed("--- \na: 1\n---\n"), YAML_ONLY),
    "billion laughs": (prefixed(LAUGHS), YAML_ONLY),
    "pickle as weights": (pickled("best.ckpt"), DAMAGED),
    "pickle, protocol 4": (pickled("best.ckpt", 4), DAMAGED),
    "payload among the weights": (weights({"format": 1, "weights": {"a": Payload()}}), DAMAGED),
    "payload beside the weights": (weights({"format": 1, "weights": {}, "step": Payload()}), DAMAGED),
    "payload, old format": (weights({"weights": Payload()}, _use_new_zipfile_serialization=False), DAMAGED),
    "a module as weights": (weights({"format": 1, "weights": torch.nn.Linear(2, 2)}), DAMAGED),
    "TorchScript": (lambda folder: script(folder / "best.ckpt"), DAMAGED),
    "pickle as tokenizer": (pickled("tokenizer.model"), "tokenizer.model is not a SentencePiece model"),
    "huge model": (part("model.dim", 10**9), "best.ckpt does not fit"),
    "huger model": (part("model.dim", 10**30), YAML_ONLY),
    "endless positions": (part("model.max_length", 10**14), "does not fit|max_length"),
    "long search": (part("search.max_source", 10**9), r"`search.max_source` \(1000000000\) must not exceed"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*looks like a TorchScript archive", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_of_theirs_is_executed(theirs: Path, attack: str) -> None:
    arm, message = ATTACKS[attack]
    arm(theirs)
    before = sorted(theirs.rglob("*"))
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        Translator.load(theirs)(["The hen runs."])
    assert time.process_time() - began < 5
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert not CANARY.exists()
    assert sorted(theirs.rglob("*")) == before


def test_the_attacks_would_succeed_on_whoever_trusts_them(theirs: Path) -> None:
    """So that none of them passes for want of a working payload."""
    disarmed = [
        lambda: pickle.loads(pickle.dumps(Payload())),
        lambda: build(target("os.mkdir", path="canary"), resolve=any_class),
        lambda: yaml.unsafe_load("x: !!python/object/apply:os.mkdir [canary]\n"),
        lambda: torch.load("theirs/best.ckpt", weights_only=False),
    ]
    weights({"format": 1, "weights": Payload()})(theirs)
    for attack in disarmed:
        attack()
        assert CANARY.is_dir()
        CANARY.rmdir()
    assert len(ATTACKS) > 60


def test_a_billion_laughs_take_no_time_and_no_memory(theirs: Path) -> None:
    (theirs / "config.yaml").write_text(LAUGHS + "model: {x: *a29}\nsearch: {x: *a29}\ncorpus: {x: *a29}\n")
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(InputError, match=r"config.yaml is not plain YAML: it holds an alias"):
        Run(theirs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - began < 5
    assert peak < 50_000_000


def test_a_configuration_with_one_list_in_two_places_can_be_read_back(trained: Runs, tmp_path: Path) -> None:
    run, shared = Run(trained.first), [0.9, 0.98]
    config = run.config | {"optimizer": {"betas": shared}, "schedule": {"betas": shared}}
    begin_run(tmp_path / "ours", config, run.tokenizers())
    assert Run(tmp_path / "ours").config == config


CORPORA: dict[str, dict[str, Any]] = {
    "os.mkdir": target("os.mkdir", path="canary"),
    "nested": target("dragoman.text.corpus.Pocket", seed=target("os.mkdir", path="canary")),
    "not a corpus": target("dragoman.search.Greedy", max_source=9, length_ratio=1.0, length_extra=1),
    "reader": target("dragoman.text.corpus.read_csv", path="canary"),
    "no target": {"folder": "canary"},
}


@pytest.mark.parametrize("name", CORPORA)
def test_their_corpus_is_theirs_to_name_but_not_to_execute(theirs: Path, name: str) -> None:
    part("corpus", CORPORA[name])(theirs)
    assert Translator.load(theirs)(["The hen."])  # nobody asks for the corpus
    with pytest.raises(InputError):
        Run(theirs).corpus()
    assert not CANARY.exists()


def test_their_callbacks_optimizer_and_trainer_are_never_built(theirs: Path) -> None:
    for key in ("callbacks", "logger", "optimizer", "schedule", "trainer", "tokenizer", "data", "validation"):
        part(key, target("os.mkdir", path="canary"))(theirs)
    run = Run(theirs)
    assert isinstance(run.corpus(), Corpus)
    assert Translator.load(theirs)(["The hen."])
    assert not CANARY.exists()


def test_the_closed_table_holds_classes_of_ours_that_can_be_imported() -> None:
    assert len(OWN_CLASSES) >= 10
    for name in OWN_CLASSES:
        found = own_class(name)
        assert isinstance(found, type)
        assert found.__module__.startswith("dragoman.")
        assert found.__name__ == name.rpartition(".")[2]


def test_links_in_their_folder_are_read_through_but_never_written_through(theirs: Path, tmp_path: Path) -> None:
    """Scoring their run writes into its folder: a link there must not overwrite what it points to."""
    from dragoman.evaluation.evaluate import LENGTHS, evaluate
    from dragoman.evaluation.heatmaps import attend
    from dragoman.evaluation.lengths import by_length, plot

    precious = tmp_path / "precious"
    precious.write_text("mine")
    ours = ("hypotheses.txt", "scores.json", LENGTHS, f".scores.json.{os.getpid()}.partial", "attention/cross.png")
    (theirs / "attention").mkdir(exist_ok=True)
    for name in ours:
        (theirs / name).unlink(missing_ok=True)
        (theirs / name).symlink_to(precious)
    translator = Translator.load(theirs)
    evaluate(translator, [("The hen.", "La poule.")], theirs, {})
    plot(by_length(translator, ["The hen."], ["La poule."], ["La poule."]), theirs / LENGTHS)
    settings = {"translation": None, "place": "cross", "layer": 1, "head": 1, "whole_words": False, "output": None}
    assert list(attend(str(theirs), text="The hen.", form="png", **settings))
    assert precious.read_text() == "mine"
    assert not any((theirs / name).is_symlink() for name in ours)
