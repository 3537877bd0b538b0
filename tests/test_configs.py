"""Configurations: whatever can be chosen composes, names real classes, gives them all their keys, and can be built."""

import inspect
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf

from dragoman.build import OWN_CLASSES, any_class, build, own_class
from dragoman.errors import InputError
from dragoman.training.fit import parts
from entry import CONFIG_FOLDER, Root
from entry_literals import LITERAL, Literals

FILES = sorted(CONFIG_FOLDER.rglob("*.yaml"))
ROOTS = [path.stem for path in FILES if path.parent == CONFIG_FOLDER]
CHOICES = [(path.parent.name, path.stem) for path in FILES if path.parent != CONFIG_FOLDER]
PLACES = ("encoder_attention", "decoder_attention", "cross_attention")
FROM_STRANGERS = ("corpus", "tokenizer", "model", "search")  # the parts of a run folder that are built from its YAML
# What a part that is left partial still waits for: a folder, a module's parameters, an optimizer, the model's sizes.
PARTNERS = {"folder", "params", "optimizer", "dropout", "num_heads", "head_dim"}


def choices(group: str) -> list[str]:
    return [choice for its_group, choice in CHOICES if its_group == group]


def whole(*overrides: str, root: str = "train") -> dict[str, Any]:
    """What a script gets for that command line, with a word for every key that the user must give."""
    return deepcopy(composed(root, overrides))


@cache
def composed(name: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    root = Root(name, CONFIG_FOLDER, Literals(LITERAL))
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = root.compose(list(overrides))
    for key, value in leaves(root.plain(config, resolve=False)):
        if value == "???":
            OmegaConf.update(config, key, "given")
    return root.plain(config, resolve=True)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, value in tree.items():
        yield from leaves(value, f"{path}.{key}" if path else key)


def of_choice(group: str, choice: str) -> dict[str, Any]:
    return whole(f"{'attention@model.cross_attention' if group == 'attention' else group}={choice}")


def nodes(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dict with a `_target_`, with its dotted path."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from nodes(value, f"{path}.{key}" if path else str(key))
    if isinstance(tree, dict) and "_target_" in tree:
        yield path, tree


def assert_signatures_are_met(config: dict[str, Any]) -> int:
    """Ours exactly, but for partners at run time; of others' (Trainer, optimizers) no key that they do not have."""
    count = 0
    for path, node in nodes(config):
        parameters = inspect.signature(any_class(node["_target_"])).parameters
        kinds = {parameter.kind for parameter in parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}, path
        given, known = {key for key in node if key not in ("_target_", "_partial_")}, set(parameters)
        if node["_target_"].startswith("dragoman."):
            assert known - given <= (PARTNERS if node.get("_partial_") else set()), path
        assert given <= known, path
        count += 1
    return count


@pytest.mark.parametrize("root", ROOTS)
def test_every_root_composes(root):
    config = whole(root=root)
    assert assert_signatures_are_met(config) >= (8 if root == "train" else 0)


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_meets_the_signatures(group, choice):
    assert assert_signatures_are_met(of_choice(group, choice)) >= 8


@pytest.mark.parametrize("choice", choices("search"))
@pytest.mark.parametrize("root", ["evaluate", "translate"])
def test_every_search_can_be_chosen_for_a_finished_run(root, choice):
    config = whole(f"search={choice}", root=root)
    assert assert_signatures_are_met(config) == 1
    build(config["search"], resolve=own_class)


@pytest.mark.parametrize("swap", choices("swap"))
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_a_swap_sets_all_three_places_of_any_experiment(experiment, swap):
    before = whole(f"experiment={experiment}")
    if not set(PLACES) <= set(before["model"]):
        with pytest.raises(InputError):
            whole(f"experiment={experiment}", f"swap={swap}")
        return
    after = whole(f"experiment={experiment}", f"swap={swap}")
    assert assert_signatures_are_met(after) >= 8
    assert [after["model"].pop(place) for place in PLACES] == [
        whole(f"swap={swap}")["model"][place] for place in PLACES
    ]
    free = {*PLACES, *(["positions"] if swap in ("additive", "linear") else [])}  # these two cannot be rotated
    kept = {key: value for key, value in after["model"].items() if key not in free}
    assert kept == {key: value for key, value in before["model"].items() if key not in free}
    build(whole(f"experiment={experiment}", f"swap={swap}")["model"], resolve=own_class)


@pytest.mark.parametrize("swap", choices("swap"))
def test_a_swap_is_made_of_the_attention_of_its_name(swap):
    """A window has no meaning in cross-attention, which its swap leaves fused."""
    model = whole(f"swap={swap}")["model"]
    for place in PLACES:
        meant = "fused" if place == "cross_attention" and swap in ("window", "sparse") else swap
        assert model[place] == whole(f"attention@model.{place}={meant}")["model"][place]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attention", [name for name in choices("attention") if name != "fused"])
def test_one_place_can_be_set_alone(attention, place):
    before, after = whole()["model"], whole(f"attention@model.{place}={attention}")["model"]
    assert {key for key in after if after[key] != before[key]} == {place}


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_everything_in_an_experiment_can_be_built(experiment, tmp_path):
    config = whole(f"experiment={experiment}")
    for part in (*FROM_STRANGERS, "callbacks", "logger"):
        built = build(config[part], resolve=own_class if part in FROM_STRANGERS else any_class, path=part)
        if part == "model":
            assert sum(parameter.numel() for parameter in built.parameters()) > 10_000
        if part in ("callbacks", "logger"):
            assert len(parts(config, part, tmp_path)) == len(built)
    build(config["validation"]["search"], resolve=own_class)
    layer = torch.nn.Linear(2, 2)
    optimizer = build(config["optimizer"])(layer.parameters())
    scheduler = build(config["schedule"])(optimizer)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.clone()
    optimizer.step()
    scheduler.step()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", choices("optimizer"))
def test_every_optimizer_moves_weights(name):
    layer = torch.nn.Linear(2, 2)
    optimizer = build(whole(f"optimizer={name}")["optimizer"])(layer.parameters())
    before = layer.weight.clone()
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", choices("schedule"))
def test_every_schedule_takes_an_optimizer(name):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = build(whole(f"schedule={name}")["schedule"])(optimizer)
    assert 0 < scheduler.get_last_lr()[0] < 1


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_every_callback_and_logger_is_built_once_there_is_a_folder(group, tmp_path):
    for choice in choices(group):
        built = parts(of_choice(group, choice), group, tmp_path)
        assert len(built) >= 1
        assert not any(callable(part) for part in built)


@pytest.mark.parametrize("name", choices("trainer"))
def test_every_trainer_is_lightnings(name):
    settings = of_choice("trainer", name)["trainer"]
    trainer = build(settings | {"accelerator": "cpu", "precision": "32-true"})(logger=False, enable_checkpointing=False)
    assert trainer.max_steps == settings["max_steps"]
    assert trainer.gradient_clip_val == settings["gradient_clip_val"]


def test_own_classes_exist_and_each_can_be_chosen():
    assert all(inspect.isclass(any_class(name)) for name in OWN_CLASSES)
    chosen = {node["_target_"] for one in CHOICES for _, node in nodes(of_choice(*one))}
    assert chosen >= OWN_CLASSES


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_what_a_run_folder_is_rebuilt_from_is_in_the_closed_table(group, choice):
    config = of_choice(group, choice)
    targets = {node["_target_"] for part in FROM_STRANGERS for _, node in nodes(config[part])}
    assert targets <= OWN_CLASSES
    assert len(targets) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIG_FOLDER)))
def test_a_file_says_in_its_first_line_what_it_is(path: Path):
    """Behind Hydra's own `# @package`, where there is one."""
    text = path.read_text("utf-8")
    first, second = text.splitlines()[:2]
    said = second if first.startswith("# @package") else first
    assert re.fullmatch(r"# \w.{10,118}", said)
    assert not re.search(r"\$\{(hydra|now|oc\.)", text)
    assert "\t" not in text
    assert text.endswith("\n")


def test_run_folders_have_names_and_not_times():
    assert whole("experiment=pocket")["run_dir"] == "checkpoints/pocket"
    assert whole("name=mine", "trainer=debug")["run_dir"] == "checkpoints/mine-debug"


def test_there_is_something_to_choose_from():
    assert len(ROOTS) >= 3
    assert len(CHOICES) >= 30
    assert {group for group, _ in CHOICES} >= {"attention", "swap", "experiment", "corpus", "search", "trainer"}
