"""Training: a step is a token mean over all it gathers, a resumed run is the uninterrupted one, the best is kept."""

import ast
import copy
import math
import re
import signal
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.nn import functional as F

from dragoman.build import build
from dragoman.data.batch import Batch, collate
from dragoman.errors import InputError
from dragoman.files import write_bytes
from dragoman.ids import PAD
from dragoman.run import IDENTITY, Run, differences
from dragoman.training import schedule, task
from dragoman.training.checkpoints import average
from dragoman.training.loss import WholeLoss
from dragoman.training.precision import best_precision, cpu_prefers_bf16
from dragoman.training.progress import ShowProgress
from dragoman.training.scoring import ScoreTranslations
from dragoman.training.settings import check_settings
from dragoman.training.task import TranslationTask
from dragoman.training.train import show_examples, train
from dragoman.weights import read_weights, write_weights
from models_for_tests import transformer
from scripts_for_tests import tree
from training_for_tests import (
    Accident,
    Record,
    assert_same_end,
    compose,
    last,
    metrics,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    same,
    tiny,
    use_sgd,
    weights,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps, for those who only look."""
    folder = tmp_path_factory.mktemp("finished")
    train(tiny(), folder)
    return folder


@pytest.fixture
def bleu_by_step(monkeypatch: pytest.MonkeyPatch):
    """Validation BLEU as the test wishes."""

    def script(values: dict[int, float]) -> None:
        def say(self: Any, trainer: L.Trainer, pl_module: Any) -> None:
            pl_module.log("bleu", values[trainer.global_step], logger=False)

        monkeypatch.setattr(ScoreTranslations, "on_validation_epoch_end", say)

    return script


# --- A step, against a loop written by hand ---


def merged(batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """Several batches as one, padded to the longest."""
    sides = []
    for side in zip(*batches, strict=True):
        longest = max(ids.shape[1] for ids in side)
        sides.append(torch.cat([F.pad(ids, (0, longest - ids.shape[1]), value=PAD) for ids in side]))
    return sides[0], sides[1]


def token_mean(model: Any, src: Tensor, tgt: Tensor) -> Tensor:
    logits = model(src, tgt[:, :-1])
    return F.cross_entropy(logits.transpose(1, 2), tgt[:, 1:], ignore_index=PAD, label_smoothing=0.1)


def by_hand(config: dict[str, Any], accumulate: int, clip: float | None, rates: list[float]) -> dict[str, Tensor]:
    """The recorded sentences, `accumulate` batches of them as one batch a step, by a plain loop in fp32."""
    model = build(config["model"])
    model.load_state_dict(Record.start)
    settings = {
        key: value for key, value in config["optimizer"].items() if key not in ("_target_", "_partial_", "fused")
    }
    kind = torch.optim.SGD if config["optimizer"]["_target_"].endswith("SGD") else torch.optim.AdamW
    optimizer = kind(model.parameters(), **settings, foreach=False)
    stream = iter(Record.batches)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        token_mean(model, *merged(list(islice(stream, accumulate)))).backward()
        norm = math.sqrt(sum(parameter.grad.double().square().sum().item() for parameter in model.parameters()))
        for parameter in model.parameters():
            parameter.grad *= 1 if clip is None else min(1, clip / norm)
        optimizer.step()
    return model.state_dict()


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize(
    ("optimizer", "accumulate", "clip"),
    [("sgd", 1, 0.05), ("sgd", 2, 0.05), ("sgd", 2, None), ("sgd", 3, 0.05), ("adamw", 1, None), ("adamw", 2, 0.05)],
)
def test_a_step_is_one_token_mean_over_all_its_batches(tmp_path, optimizer, accumulate, clip):
    clipping = "null" if clip is None else str(clip)
    overrides = [f"trainer.accumulate_grad_batches={accumulate}", f"trainer.gradient_clip_val={clipping}"]
    # Adam divides by √v, and gradients that cancel, as that of the keys' bias does, are noise: a larger ε calms it.
    fixed = ["model.dropout=0", "max_steps=6", "validate_every=6", "optimizer.eps=1e-3", "optimizer.lr=5e-3"]
    config = tiny(*fixed, *overrides, record=True)
    config = use_sgd(config, lr=0.5) if optimizer == "sgd" else config
    lr = config["optimizer"]["lr"]
    train(config, tmp_path)
    ours = {name.removeprefix("model."): tensor for name, tensor in last(tmp_path)["state_dict"].items()}
    theirs = by_hand(config, accumulate, clip, rates=[lr / 2] + [lr] * 5)
    assert len(Record.batches) == 6 * accumulate
    assert len({int((batch.tgt_BT != PAD).sum()) for batch in Record.batches}) > 2, "means of means would be the mean"
    assert distance(ours, Record.start) > 1e-2
    assert distance(ours, theirs) < 5e-6  # sums in another order


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fused_adamw_is_given_clipped_gradients(tmp_path, precision):
    norms = {}
    for clip in ("0.05", "null"):
        config = tiny(
            "max_steps=4",
            "validate_every=4",
            f"trainer.precision={precision}",
            f"trainer.gradient_clip_val={clip}",
            record=True,
        )
        assert config["optimizer"]["fused"]
        train(config, tmp_path / clip)
        norms[clip] = Record.norms
    assert len(norms["null"]) == 4
    assert min(norms["null"]) > 0.1
    assert norms["0.05"] == pytest.approx([0.05] * 4, rel=1e-4)  # clip_grad_norm_ divides by norm + 1e-6


class Steps(torch.utils.data.Dataset):
    """Four batches of several lengths."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Batch:
        generator = torch.Generator().manual_seed(number)
        sides = [
            [torch.randint(4, 23, (3 + row + number,), generator=generator).tolist() for row in range(3)]
            for _ in range(2)
        ]
        return collate(*sides)


def fit_plainly(precision: Any, *, fused: bool) -> TranslationTask:
    """Four steps of descent without anything of ours around the task."""
    model = transformer(dropout=0.0, feed_forward_dropout=0.0).train()
    one = TranslationTask(
        model=model,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.3, fused=fused),
        schedule=lambda optimizer: schedule.constant(optimizer, warmup_steps=0),
        label_smoothing=0.1,
        criterion=WholeLoss(),
        highest_loss=100.0,
        seed=1,
    )
    chosen = {"plugins": [precision]} if isinstance(precision, MixedPrecision) else {"precision": precision}
    trainer = L.Trainer(
        accelerator="cpu", max_steps=2, accumulate_grad_batches=2, gradient_clip_val=0.5, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **chosen,
    )  # fmt: skip
    trainer.fit(one, torch.utils.data.DataLoader(Steps(), batch_size=None))
    return one


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`", "ignore:`isinstance.treespec, LeafSpec.")
@pytest.mark.parametrize("fused", [True, False])
def test_fp16_gradients_are_unscaled_before_they_are_clipped(fused):
    """The scale, 1024, would make every gradient exceed the clipping norm, and its own undoing then vanish."""
    exact = fit_plainly("32-true", fused=False).model.state_dict()
    start = transformer().state_dict()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    half = fit_plainly(MixedPrecision("16-mixed", "cpu", scaler=scaler), fused=fused).model.state_dict()
    moved = torch.cat([(exact[name] - start[name]).flatten() for name in start])
    astray = torch.cat([(half[name] - exact[name]).flatten() for name in start])
    assert scaler.get_scale() == 1024.0
    assert moved.norm() > 0.1
    # fp16 keeps 11 bits, of which layers lose some: 2.3 % where the processor sums in fp16 too. Unscaled late: 100 %.
    assert astray.norm() < 0.05 * moved.norm()


def test_dropout_is_off_in_validation_and_its_loss_is_the_token_mean(tmp_path):
    config = tiny("model.dropout=0.5", "max_steps=3", record=True)
    train(config, tmp_path)
    assert len(Record.training_mode) > 0
    assert not any(Record.training_mode)
    run = Run(tmp_path)
    model, (source, target) = run.model(), run.tokenizers()
    model.load_state_dict(weights(tmp_path / "weights" / "step-3.ckpt"))
    loss, tokens = 0.0, 0
    for pair in build(config["corpus"]).split("validation"):
        src, tgt = collate([source.encode(pair["source"])], [target.encode(pair["target"])])
        with torch.no_grad():
            loss += F.cross_entropy(model(src, tgt[:, :-1])[0], tgt[0, 1:], reduction="sum").item()
        tokens += tgt.shape[1] - 1
    assert metrics(tmp_path)[3]["validation_loss"] == pytest.approx(loss / tokens, rel=1e-5)


# --- Counting in optimizer steps ---

SHAPES = {
    "constant": lambda n, w, total, final: min(1, n / w),
    "inverse_sqrt": lambda n, w, total, final: min(n / w, math.sqrt(w / n)),
    "cosine": lambda n, w, total, final: (
        n / w if n <= w else final + (1 - final) * (1 + math.cos(math.pi * min(1, (n - w) / (total - w)))) / 2
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("warmup", [1, 7, 40])
def test_a_schedule_is_its_formula(name, warmup):
    further = {"total_steps": 100, "final_factor": 0.05} if name == "cosine" else {}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3.0)
    scheduler = getattr(schedule, name)(optimizer, warmup_steps=warmup, **further)
    for n in range(1, 151):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(3 * SHAPES[name](n, warmup, 100, 0.05), rel=1e-9)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("name", SHAPES)
def test_a_schedule_without_warm_up_begins_at_the_base_rate(name):
    further = {"total_steps": 100, "final_factor": 0.05} if name == "cosine" else {}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3.0)
    getattr(schedule, name)(optimizer, warmup_steps=0, **further)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(3.0, rel=1e-3)  # a hundredth of the cosine is behind it


@pytest.mark.parametrize(("name", "accumulate"), [("constant", 2), ("inverse_sqrt", 2), ("cosine", 2), ("cosine", 1)])
def test_rates_and_validations_are_counted_in_optimizer_steps(tmp_path, name, accumulate):
    config = tiny(f"schedule={name}", "schedule.warmup_steps=4", f"trainer.accumulate_grad_batches={accumulate}")
    train(config, tmp_path)
    rows, lr = metrics(tmp_path), config["optimizer"]["lr"]
    assert list(rows) == list(range(1, 13))
    for step, row in rows.items():
        assert row["learning_rate"] == pytest.approx(lr * SHAPES[name](step, 4, 12, 0.05), rel=1e-5)
    assert [step for step, row in rows.items() if "bleu" in row] == [3, 6, 9, 12]
    assert [step for step, row in rows.items() if "validation_loss" in row] == [3, 6, 9, 12]
    assert last(tmp_path)["global_step"] == 12


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_last_step_is_validated_and_kept_wherever_it_falls(tmp_path, accumulate):
    train(tiny("trainer.max_steps=5", f"trainer.accumulate_grad_batches={accumulate}"), tmp_path)
    assert [step for step, row in metrics(tmp_path).items() if "bleu" in row] == [3, 5]
    assert last(tmp_path)["global_step"] == 5


def test_a_run_shorter_than_its_first_validation_is_a_run(tmp_path):
    train(tiny("trainer.max_steps=2"), tmp_path)
    assert torch.load(tmp_path / "best.ckpt")["step"] == 2


# --- A resumed run is the uninterrupted run ---


RESUMED = {
    "fp32": ["num_workers=0"],
    "bf16, accumulated": ["trainer.precision=bf16-mixed", "trainer.accumulate_grad_batches=2"],
    "workers, accumulated": ["num_workers=2", "trainer.accumulate_grad_batches=2"],
    "bf16, workers": ["num_workers=2", "trainer.precision=bf16-mixed"],
}


@pytest.mark.parametrize("overrides", RESUMED.values(), ids=list(RESUMED))
def test_a_resumed_run_is_the_uninterrupted_run(tmp_path, overrides):
    overrides = [*overrides, "model.dropout=0.3", "schedule=cosine"]
    train(tiny(*overrides), tmp_path / "whole")
    train(tiny(*overrides, "trainer.max_steps=6"), tmp_path / "halves")
    assert last(tmp_path / "halves")["global_step"] == 6
    train(tiny(*overrides), tmp_path / "halves")
    assert_same_end(tmp_path / "whole", tmp_path / "halves")
    with pytest.raises(Accident.Happened):
        train(tiny(*overrides, raise_at=8), tmp_path / "broken")
    assert last(tmp_path / "broken")["global_step"] == 6
    train(tiny(*overrides), tmp_path / "broken")
    assert_same_end(tmp_path / "whole", tmp_path / "broken")


def test_dropout_and_order_do_matter_to_the_end(tmp_path, finished):
    """Or resuming could forget both and pass."""
    train(tiny("model.dropout=0.3"), tmp_path / "dropout")
    train(tiny("seed=2"), tmp_path / "seed")
    for other in ("dropout", "seed"):
        assert not same(last(tmp_path / other)["state_dict"], last(finished)["state_dict"])


def test_a_run_goes_on_from_the_checkpoint_before_a_lost_one(tmp_path, finished):
    with pytest.raises(Accident.Happened):
        train(tiny(raise_at=11), tmp_path)
    (tmp_path / "last.ckpt").unlink()
    train(tiny(), tmp_path)
    assert_same_end(finished, tmp_path)


def test_a_run_goes_on_after_ctrl_c(tmp_path, finished, monkeypatch):
    """Lightning exits with 1 and ignores the signal from then on; the scripts' door must see an interruption."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    config = tiny(raise_at=5)
    monkeypatch.setattr(Accident, "what", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path)
    train(tiny(), tmp_path)
    assert_same_end(finished, tmp_path)


def test_a_run_killed_before_its_scores_only_scores(tmp_path, finished, monkeypatch):
    monkeypatch.setattr("dragoman.training.train.score_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(tiny(), tmp_path)
    monkeypatch.undo()
    found = train(tiny(record=True), tmp_path)
    assert Record.batches == []
    assert [one.name for one in found] == ["BLEU", "chrF2", "TER"]
    assert_same_end(finished, tmp_path)


def test_a_finished_run_tells_its_scores_and_does_nothing(finished, monkeypatch):
    expected = [(one["name"], one["value"]) for one in Run(finished).scores()["scores"]]
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    monkeypatch.setattr("dragoman.training.train.fit", lambda *_: 1 / 0)
    assert [(one.name, one.value) for one in train(tiny(), finished)] == expected
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_longer_training_leaves_no_old_scores_behind(tmp_path):
    train(tiny("trainer.max_steps=3"), tmp_path)
    assert (tmp_path / "scores.json").exists()
    with pytest.raises(Accident.Happened):
        train(tiny(raise_at=5), tmp_path)
    assert not (tmp_path / "scores.json").exists()


# --- Checkpoints ---

BLEU = {1: 1.0, 2: 5.0, 3: 3.0, 4: 5.0, 5: 4.0, 6: 2.0}
EVERY = ("max_steps=6", "validate_every=1")


def steps_on_disk(folder: Path) -> set[int]:
    return {int(path.stem.removeprefix("step-")) for path in (folder / "weights").iterdir()}


def test_the_best_so_far_is_always_what_translates(tmp_path, bleu_by_step):
    bleu_by_step(BLEU)
    train(tiny(*EVERY, record=True), tmp_path)
    assert Record.best == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)]  # the earlier of equals


@pytest.mark.parametrize(
    ("choose", "count", "kept"),
    [
        ("best", 1, {2}),
        ("best", 3, {2, 4, 5}),
        ("best", 9, {1, 2, 3, 4, 5, 6}),
        ("last", 2, {2, 5, 6}),
        ("last", 5, {2, 3, 4, 5, 6}),
    ],
)
def test_only_the_chosen_and_the_best_are_kept(tmp_path, bleu_by_step, choose, count, kept):
    bleu_by_step(BLEU)
    train(tiny(*EVERY, f"callbacks.checkpoints.choose={choose}", f"callbacks.checkpoints.average={count}"), tmp_path)
    assert steps_on_disk(tmp_path) == kept
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"best.ckpt", "last.ckpt", "last-previous.ckpt"}
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(("choose", "steps"), [("best", [2, 4, 5]), ("last", [4, 5, 6])])
@pytest.mark.parametrize("value", [4.9, 5.0])
def test_the_average_replaces_the_best_only_where_it_is_not_worse(
    tmp_path, monkeypatch, bleu_by_step, choose, steps, value
):
    bleu_by_step(BLEU)
    asked = []
    monkeypatch.setattr(ScoreTranslations, "of_all", lambda _: asked.append(1) or value)
    train(tiny(*EVERY, f"callbacks.checkpoints.choose={choose}", "callbacks.checkpoints.average=3"), tmp_path)
    assert len(asked) == 1
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    parts = [weights(tmp_path / "weights" / f"step-{step}.ckpt") for step in steps]
    assert not same(parts[0], parts[1])
    mean = {name: np.mean([part[name].numpy().astype("float64") for part in parts], axis=0) for name in parts[0]}
    if value >= 5.0:
        assert (best["bleu"], best["averaged"]) == (value, ", ".join(map(str, steps)))
        for name, tensor in best["weights"].items():
            np.testing.assert_array_equal(tensor.numpy(), mean[name].astype("float32"))
    else:
        assert (best["step"], best["bleu"]) == (2, 5.0)
        assert "averaged" not in best
        assert same(best["weights"], weights(tmp_path / "weights" / "step-2.ckpt"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_average_is_the_arithmetic_mean_of_every_tensor(dtype):
    generator = torch.Generator().manual_seed(0)
    parts = [
        {"a": torch.randn(5, 3, generator=generator).to(dtype), "b": torch.randn((), generator=generator).to(dtype)}
        for _ in range(7)
    ]
    found = average(parts)
    for name in ("a", "b"):
        mean = sum(part[name].double().numpy() for part in parts) / 7
        assert found[name].dtype == dtype
        assert found[name].shape == parts[0][name].shape
        np.testing.assert_allclose(found[name].double().numpy(), mean, rtol=torch.finfo(dtype).eps)
    assert set(found) == {"a", "b"}


def test_average_and_choose_are_checked():
    for settings in ({"average": 0, "choose": "best"}, {"average": 3, "choose": "worst"}):
        with pytest.raises(InputError, match=r"`average` .* must be at least 1 and `choose` .* best or last"):
            build(
                {"_target_": "dragoman.training.checkpoints.Checkpoints", "folder": Path(), "minutes": 1.0, **settings}
            )


STOPPING = ("callbacks=early_stopping", "callbacks.early_stopping.patience=2", "max_steps=50", "validate_every=1")
FALLING = {step: 10.0 - step for step in range(2, 50)} | {1: 1.0}  # the best is at step 2: stops at 4


def test_training_stops_when_bleu_has_not_risen_for_a_while(tmp_path, bleu_by_step):
    bleu_by_step(FALLING)
    train(tiny(*STOPPING), tmp_path)
    assert last(tmp_path)["global_step"] == 4
    assert (tmp_path / "scores.json").exists()
    assert max(metrics(tmp_path)) == 4


def test_patience_survives_an_interruption(tmp_path, bleu_by_step):
    bleu_by_step(FALLING)
    with pytest.raises(Accident.Happened):
        train(tiny(*STOPPING, raise_at=4), tmp_path)
    assert last(tmp_path)["global_step"] == 3
    train(tiny(*STOPPING), tmp_path)
    assert last(tmp_path)["global_step"] == 4


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path, old = tmp_path / "best.ckpt", {"w": torch.ones(3)}
    write_weights(path, old, step=1)

    def half(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        write_weights(path, {"w": torch.zeros(3)}, step=2)
    assert same(read_weights(path), old)
    assert [one.name for one in tmp_path.iterdir()] == ["best.ckpt"]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_disk_that_fills_up_while_training_costs_no_checkpoint(tmp_path, monkeypatch, finished):
    train(tiny("trainer.max_steps=6"), tmp_path)

    def half(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    before = tree(tmp_path)
    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        train(tiny(), tmp_path)
    assert {name for name, content in tree(tmp_path).items() if before.get(name) != content} <= {
        "changes.txt", "config.yaml", "metrics.csv", "provenance.json",
    }  # fmt: skip
    monkeypatch.undo()
    assert last(tmp_path)["global_step"] == 6
    train(tiny(), tmp_path)
    assert_same_end(finished, tmp_path)


# --- The identity of a run ---


def test_differences_are_the_leaves_that_differ():
    old = {"a": 1, "b": {"c": [1, 2], "d": {"e": None}}, "gone": 3, "same": {"x": 1}}
    new = {"a": 2, "b": {"c": [1, 3], "d": 5}, "come": 4, "same": {"x": 1}}
    expected = {"a": (1, 2), "b.c": ([1, 2], [1, 3]), "b.d": ({"e": None}, 5), "gone": (3, None), "come": (None, 4)}
    assert differences(old, new) == expected
    assert differences(old, copy.deepcopy(old)) == {}


IDENTITIES = {
    "cleaning.empty": {"_target_": "dragoman.text.cleaning.Empty"},
    "corpus.train_size": 299,
    "tokenizer.model_type": "bpe",
    "data.batch_tokens": 257,
    "model.dropout": 0.7,
    "model.encoder_attention._target_": "dragoman.attention.Additive",
    "optimizer.lr": 0.5,
    "schedule.warmup_steps": 3,
    "seed": 2,
    "label_smoothing": 0.2,
    "loss._target_": "training_for_tests.OtherLoss",
    "trainer.precision": "bf16-mixed",
    "trainer.accumulate_grad_batches": 2,
    "trainer.gradient_clip_val": 0.5,
    "init": "another",
    "freeze": ["encoder.*"],
}


def changed(config: dict[str, Any], key: str, value: Any) -> tuple[dict[str, Any], Any]:
    *path, leaf = key.split(".")
    node = config
    for name in path:
        node = node[name]
    old, node[leaf] = node[leaf], value
    return config, old


@pytest.mark.parametrize(("key", "value"), IDENTITIES.items())
def test_another_run_is_refused_by_the_keys_that_differ(finished, key, value):
    before = (finished / "config.yaml").read_text()
    config, old = changed(tiny(), key, value)
    with pytest.raises(InputError) as caught:
        train(config, finished)
    assert f"holds another run ({key}: {old} there, {value} here); choose another `name=`" in str(caught.value)
    assert (finished / "config.yaml").read_text() == before


def test_every_part_of_the_identity_was_tried():
    assert {key.split(".")[0] for key in IDENTITIES} == {*IDENTITY, "trainer"}


def test_a_run_goes_on_with_its_loss_in_other_portions(tmp_path):
    for steps, loss in ((2, ["loss=whole"]), (4, []), (6, ["loss.positions=7"])):
        train(tiny(*loss, f"trainer.max_steps={steps}"), tmp_path)
        assert last(tmp_path)["global_step"] == steps
    assert "loss.positions: auto -> 7" in (tmp_path / "changes.txt").read_text()


def test_other_keys_may_change_and_the_change_is_recorded(tmp_path):
    train(tiny("trainer.max_steps=3"), tmp_path)
    train(tiny("trainer.max_steps=6", "validate_every=2", "search.length_extra=7", "num_workers=1"), tmp_path)
    recorded = (tmp_path / "changes.txt").read_text()
    for change in ("trainer.max_steps: 3 -> 6", "validate_every: 3 -> 2", "search.length_extra: 20 -> 7"):
        assert change in recorded
    assert Run(tmp_path).config["trainer"]["max_steps"] == 6


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.num_heads=3"], "num_heads"),
        (["model.target_vocab_size=399"], "model.target_vocab_size` is 399"),
        (["tokenizer.vocab_size=100000"], "vocab_size"),
        (["data.batch_tokens=9"], "batch_tokens"),
        (["corpus.train_size=0"], "corpus.train_size"),
        (["schedule=cosine", "schedule.warmup_steps=12"], "total_steps"),
        (["schedule.warmup_steps=-1"], "warmup_steps"),
        (["optimizer.lr=-1"], "learning rate"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder_to_be_refused_by(tmp_path, overrides, message):
    with pytest.raises(InputError, match=message):
        train(tiny(*overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_reloaded_model_gives_the_logits_of_the_trained_one(tmp_path):
    train(tiny("model.dropout=0.3", record=True), tmp_path)
    again, batch = Run(tmp_path).model(), Record.batches[0]
    with torch.no_grad():
        logits = [model(batch.src_BS, batch.tgt_BT) for model in (Record.model, again)]
    assert torch.equal(*logits)
    assert not same(Record.start, again.state_dict())


# --- The task and the machines ---


def test_the_task_is_short_and_knows_no_text():
    source = Path(task.__file__).read_text()
    assert len(source.splitlines()) < 150
    modules = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    modules |= {
        alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names
    }
    own = {name for name in modules if name.startswith("dragoman")}
    trained = {f"dragoman.training.{name}" for name in ("compiled", "loss", "spread", "unsound")}
    assert own == trained | {"dragoman.data.batch", "dragoman.models"}


def test_a_debug_run_is_a_few_steps_in_a_folder_of_its_own(tmp_path):
    config = tiny("trainer=debug", "trainer.precision=32-true")
    assert config["run_dir"] == "checkpoints/tiny-debug"
    train(config, tmp_path)
    assert last(tmp_path)["global_step"] == config["trainer"]["max_steps"] == 4


def test_precision_is_what_was_asked_or_what_the_processor_multiplies_in_sooner(monkeypatch):
    assert [best_precision(asked, "cpu") for asked in ("32-true", "bf16-mixed", "16-mixed")] == [
        "32-true",
        "bf16-mixed",
        "16-mixed",
    ]
    for has_bf16, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("dragoman.training.precision.cpu_prefers_bf16", lambda answer=has_bf16: answer)
        assert best_precision("auto", "cpu") == expected


@pytest.mark.parametrize(
    ("in_hardware", "times", "expected"), [(True, 2.0, True), (True, 0.5, False), (False, 2.0, False)]
)
def test_a_processor_prefers_bf16_where_it_has_it_and_it_is_faster(monkeypatch, in_hardware, times, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: in_hardware)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    rates = {torch.bfloat16: times, torch.float32: 1.0}
    monkeypatch.setattr("dragoman.training.precision.product_rate", lambda device, dtype, side: rates[dtype])
    assert cpu_prefers_bf16.__wrapped__() is expected


# --- What is told ---


def test_a_validation_before_any_loss_is_known_says_nothing_of_one(caplog):
    caplog.set_level("INFO")
    show = ShowProgress(every=50)
    show.paused = show.validation_began = 0.0
    metrics = {"validation_loss": torch.tensor(2.5), "bleu": torch.tensor(12.0)}
    trainer: Any = SimpleNamespace(callback_metrics=metrics, loggers=[], is_global_zero=True, global_step=2)
    show.on_validation_end(trainer, None)  # type: ignore[arg-type]
    show.recent = "loss 3.100"
    show.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert caplog.messages == [
        "step 2: validation loss 2.500, BLEU 12.00",
        "step 2: loss 3.100; validation loss 2.500, BLEU 12.00",
    ]


def test_r_drop_pulls_two_dropouts_together(tmp_path):
    """After the same steps two passes under other dropout differ less."""
    apart = {}
    given = ("loss=r_drop", "model.dropout=0.3", "max_steps=12", "optimizer.lr=5e-3")
    for weight in (0, 50):
        train(tiny(*given, f"loss.weight={weight}"), tmp_path / f"{weight}")
        model = Run(tmp_path / f"{weight}").model().train()
        batch = collate([range(4, 14)] * 64, [range(4, 14)] * 64)
        with torch.no_grad():
            first, second = (model(batch.src_BS, batch.tgt_BT[:, :-1]).softmax(-1) for _ in range(2))
        apart[weight] = (first - second).abs().sum(-1).mean().item()
    assert apart[50] < 0.9 * apart[0]


def test_r_drop_without_dropout_is_training_without_it(tmp_path):
    """Both halves are then one: its disagreement is zero, and so is its slope."""
    ends = []
    for weight in (0, 5):
        train(use_sgd(tiny("loss=r_drop", f"loss.weight={weight}", "model.dropout=0"), 0.3), tmp_path / f"{weight}")
        ends.append(Run(tmp_path / f"{weight}").model().state_dict())
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0, 0.1])
def test_r_drop_without_dropout_is_told_to_be_of_no_use(tmp_path, caplog, dropout):
    check_settings(tiny("loss=r_drop", f"model.dropout={dropout}"), tmp_path)
    assert ("changes nothing: the model has no dropout" in caplog.text) == (dropout == 0)


def test_a_finished_run_asked_for_other_scores_says_whose_it_shows(tmp_path, caplog):
    first = train(tiny(), tmp_path)
    again = train(tiny("search=beam", "search.beam=3", "num_workers=1"), tmp_path)
    assert again == first
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1
    assert "search.beam: None there, 3 here" in said[0]
    assert "num_workers" not in said[0]
    caplog.clear()
    train(tiny(), tmp_path)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_no_examples_are_none_and_unsaid_ones_three(tmp_path):
    train(tiny(), tmp_path)
    assert [len(show_examples(tmp_path, asked)) for asked in ([], ["one"], None)] == [0, 1, 3]


@pytest.mark.parametrize(
    "wrong", ["optimizer.lr=-1", "schedule.warmup_steps=-1", "schedule=cosine schedule.warmup_steps=50 max_steps=10"]
)
def test_optimizer_and_schedule_are_refused_before_any_text_is_read(tmp_path, wrong):
    with pytest.raises(InputError, match=r"(optimizer|schedule): "):
        check_settings(tiny(*wrong.split()), tmp_path)


@pytest.mark.parametrize("model", ["transformer", "rnnsearch"])
def test_a_transformer_is_told_its_share_of_the_peak(tmp_path, caplog, model):
    """Others have no such formula."""
    caplog.set_level("INFO")
    config = tiny("max_steps=4", "validate_every=2")
    if model == "rnnsearch":
        size = ("model.dim=16", f"tokenizer.vocab_size={config['tokenizer']['vocab_size']}")
        config["model"] = compose("model=rnnsearch", *size)["model"]
    train(config, tmp_path)
    told = [re.search(r"tokens/s \((\d+)% of peak\)", one.message) for one in caplog.records]
    shares = [row["share_of_peak"] for row in metrics(tmp_path).values() if row.get("share_of_peak")]
    assert any(told) == bool(shares) == (model == "transformer")
    assert all(0 < float(one) < 1 for one in shares)
