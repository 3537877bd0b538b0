"""Fine-tuning: what a run takes from another, what of it stays as it is, and that a resumed run is still the same."""

import copy
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dragoman.errors import InputError
from dragoman.run import Run
from dragoman.training.train import train
from dragoman.training.transfer import freeze, load_fitting, shortened
from dragoman.weights import write_weights
from models_for_tests import transformer
from training_for_tests import (
    Accident,
    Record,
    last,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    tiny,
    weights,
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that others begin from: two layers on either side."""
    folder = tmp_path_factory.mktemp("first")
    train(tiny("model.encoder_layers=2", "model.decoder_layers=2"), folder)
    return folder


def tuned(first: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    """Another corpus, seed and tokenizer in the configuration: the last of them should not matter."""
    given = ("model.encoder_layers=2", "model.decoder_layers=2", "corpus.seed=8", "tokenizer.vocab_size=390", "seed=3")
    config = tiny(*given, *overrides, **options)
    config["init"] = str(first)
    return config


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_without_steps_a_run_is_the_one_it_began_from(first, tmp_path):
    train(tuned(first, "optimizer.lr=0"), tmp_path)
    train(tiny("model.encoder_layers=2", "model.decoder_layers=2", "optimizer.lr=0"), tmp_path / "anew")
    assert same(weights(tmp_path / "best.ckpt"), weights(first / "best.ckpt"))
    assert not same(weights(tmp_path / "anew" / "best.ckpt"), weights(first / "best.ckpt"))
    assert (tmp_path / "tokenizer.model").read_bytes() == (first / "tokenizer.model").read_bytes()
    assert Run(tmp_path).config["tokenizer"] == Run(first).config["tokenizer"]


def test_training_goes_on_from_there(first, tmp_path):
    train(tuned(first, record=True), tmp_path)
    assert same(Record.start, weights(first / "best.ckpt"))
    assert not same(weights(tmp_path / "best.ckpt"), weights(first / "best.ckpt"))


def test_a_resumed_run_needs_the_other_no_more(first, tmp_path):
    other = shutil.copytree(first, tmp_path / "other")
    changes = ["freeze=[encoder.*]", "model.dropout=0.3"]
    train(tuned(other, *changes), tmp_path / "whole")
    with pytest.raises(Accident.Happened):
        train(tuned(other, *changes, raise_at=8), tmp_path / "broken")
    shutil.rmtree(other)
    train(tuned(other, *changes), tmp_path / "broken")
    ends = last(tmp_path / "whole"), last(tmp_path / "broken")
    assert ends[0]["global_step"] == 12
    assert same(ends[0]["state_dict"], ends[1]["state_dict"])
    assert same(weights(tmp_path / "whole" / "best.ckpt"), weights(tmp_path / "broken" / "best.ckpt"))
    assert train(tuned(other, *changes), tmp_path / "whole")  # finished: tells its scores


def test_frozen_parameters_stay_bit_for_bit_and_have_no_place_in_the_optimizer(first, tmp_path):
    config = tuned(first, "freeze=[encoder.*,decoder.1.feed_forward.*]", "optimizer.weight_decay=0.1")
    config["callbacks"]["checkpoints"]["average"] = 3
    train(config, tmp_path)
    before, after = weights(first / "best.ckpt"), weights(tmp_path / "best.ckpt")
    equal = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(("encoder.", "decoder.1.feed_forward."))}
    assert len(frozen) > 20
    assert frozen <= equal
    moved = {name for name in before if name not in frozen and "key" not in name}  # a key's bias has no gradient
    assert len(moved) > 20
    assert not moved & equal
    states = last(tmp_path)["optimizer_states"][0]["state"]
    tied = 2  # of the three tables' names
    assert len(states) == len(before) - tied - len(frozen)


def test_the_log_tells_what_was_loaded_and_what_not(first, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dragoman")
    changes = ["model.encoder_layers=3", "model.decoder_layers=1", "model.feed_forward_dim=48", "freeze=[encoder.0.*]"]
    train(tuned(first, *changes, "trainer.max_steps=1"), tmp_path)
    told = caplog.text
    ours, theirs = (Run(folder).model().state_dict() for folder in (tmp_path, first))
    fitting = [name for name in ours if name in theirs and ours[name].shape == theirs[name].shape]
    tensors = len(fitting) - 2  # three names of one table
    assert f"from {first}: the tokenizer, and {tensors} of {len(ours) - 2} tensors" in told
    assert "encoder.2.* (absent there)" in told
    assert told.count("encoder.*.feed_forward.expand.weight (32 × 16 there, 48 × 16 here)") == 1
    assert "feed_forward.contract.weight (16 × 32 there, 16 × 48 here)" in told
    assert "with the `experiment` and `model` that the other run was made with" in told
    assert "decoder.1.* (not wanted here)" in told
    assert re.search(r"attention is computed by: encoder [\w ]+; decoder [\w ]+; cross [\w ]+$", told, re.MULTILINE)
    whole = sum(one.numel() for one in Run(tmp_path).model().parameters())
    frozen = sum(tensor.numel() for name, tensor in ours.items() if name.startswith("encoder.0."))
    assert f"training {whole - frozen:,} of {whole:,} parameters" in told


@pytest.mark.parametrize(
    ("ours", "theirs"), [("all", "none"), ("none", "all"), ("target", "all"), ("all", "target"), ("all", "all")]
)
def test_tied_weights_are_loaded_once_and_stay_tied(tmp_path, ours, theirs):
    other = transformer(seed=1, tied_embeddings=theirs)
    model = transformer(seed=2, tied_embeddings=ours)

    class Other(Run):
        def __init__(self) -> None:
            self.folder = tmp_path

        def model(self) -> Any:
            return other

    load_fitting(model, Other())
    tables = {"all": ["source.table"] * 3, "target": ["source.table", "target.table", "target.table"]}
    expected = tables.get(ours, ["source.table", "target.table", "output"])
    for name, origin in zip(("source.table", "target.table", "output"), expected, strict=True):
        assert torch.equal(model.get_parameter(f"{name}.weight"), other.get_parameter(f"{origin}.weight")), name
    assert (model.output.weight is model.target.table.weight) == (ours != "none")
    freeze(model, ["output.*"])
    assert model.target.table.weight.requires_grad == (ours == "none")


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["encoder.*", "encodr.*"], r"no parameter is named 'encodr.\*'; nearest: encoder.\*"),
        (["xyz"], "no parameter is named 'xyz'; there are: "),
        (["*"], r"`freeze` \(\*\) leaves no parameter to train"),
        ([1], "must be a list of patterns"),
        (3, "must be a list of patterns"),
    ],
)
def test_patterns_that_freeze_nothing_or_everything_are_refused(tmp_path, patterns, message):
    config = tiny()
    config["freeze"] = patterns
    with pytest.raises(InputError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_single_pattern_needs_no_list():
    one, other = transformer(), transformer()
    freeze(one, "encoder.[01].*")
    freeze(other, ["encoder.*"])
    frozen = [[name for name, p in model.named_parameters() if not p.requires_grad] for model in (one, other)]
    assert frozen[0] == frozen[1]
    assert len(frozen[0]) > 20


def test_a_run_of_which_nothing_fits_is_refused(first, tmp_path):
    with pytest.raises(InputError, match=r"Nothing of `init` \(.*\) fits this model: .*there, .* here.*"):
        train(tuned(first, "model.dim=20", "model.feed_forward_dim=48"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def hurt(first: Path, folder: Path, key: str, value: Any) -> Path:
    """A copy with another value in its configuration."""
    shutil.copytree(first, folder)
    config = copy.deepcopy(Run(first).config)
    part, _, leaf = key.partition(".")
    config[part][leaf] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first, folder: folder, "`init`: There is no run folder"),
        (lambda first, folder: hurt(first, folder, "tokenizer._target_", "os.system"), "not one of Dragoman's classes"),
        (lambda first, folder: hurt(first, folder, "model._target_", "os.system"), "not one of Dragoman's classes"),
        (lambda first, folder: hurt(first, folder, "model.dim", 32), "does not fit the model"),
        (lambda first, folder: hurt(first, folder, "model.source_vocab_size", 7), "a model for 7"),
    ],
)
def test_a_strangers_run_is_refused_by_what_is_wrong_with_it(first, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(tuned(change(first, tmp_path / "theirs")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_other_types_are_tensors_only(first, tmp_path):
    folder = shutil.copytree(first, tmp_path / "theirs")
    torch.save({"format": 1, "weights": Path("canary")}, folder / "best.ckpt")
    with pytest.raises(InputError, match="damaged or not a Dragoman checkpoint"):
        train(tuned(folder), tmp_path / "run")
    write_weights(folder / "best.ckpt", weights(first / "best.ckpt"))
    train(tuned(folder, "trainer.max_steps=1"), tmp_path / "run")


def test_a_run_from_before_these_keys_opens_and_resumes(tmp_path):
    train(tiny("trainer.max_steps=3"), tmp_path)
    config = Run(tmp_path).config
    older = {key: value for key, value in config.items() if key not in ("init", "freeze")}
    assert len(older) == len(config) - 2
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
    train(tiny("trainer.max_steps=4"), tmp_path)
    assert last(tmp_path)["global_step"] == 4


def test_names_are_shortened_to_the_parts_that_are_whole():
    known = ["a.0.x", "a.0.y", "a.1.x", "b", "c.x", "cc.x"]
    assert shortened(known, known) == ["a.*", "b", "c.*", "cc.*"]
    assert shortened(["a.0.x", "a.0.y", "c.x"], known) == ["a.0.*", "c.*"]
    assert shortened(["a.0.y", "b"], known) == ["a.0.y", "b"]
