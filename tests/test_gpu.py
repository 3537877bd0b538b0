"""On a real GPU: what a CPU cannot show of `trainer=gpu`."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pytest
import torch

from dragoman.attention import KV, Flex, Fused, Mask, ScaledDot
from dragoman.data.batch import collate
from dragoman.run import Run
from dragoman.training.fused_loss import FusedLoss
from dragoman.training.loss import WholeLoss
from dragoman.training.train import train
from models_for_tests import transformer
from training_for_tests import (
    Accident,
    Record,
    last,
    metrics,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    tiny,
    weights,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

# Heads of 32 and two layers: what the kernels take.
GPU = (
    *("trainer=gpu", "trainer.precision=bf16-mixed", "model.dim=64", "model.encoder_layers=2"),
    *("model.decoder_layers=2", "model.dropout=0.1"),
)


class Late(L.Callback):
    """Graphs that are compiled, and waits for the GPU, behind the first steps."""

    early: ClassVar[int]
    all: ClassVar[int]
    waits: ClassVar[list[str]]

    def __init__(self, *, behind: int) -> None:
        self.behind = behind
        self.caught: Any = None
        Late.early, Late.all, Late.waits = 0, 0, []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step >= self.behind:
            self.caught = warnings.catch_warnings(record=True)
            self.found = self.caught.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.caught:
            torch.cuda.set_sync_debug_mode("default")
            Late.waits += [str(one.message) for one in self.found if "synchroniz" in str(one.message)]
            self.caught.__exit__(None, None, None)
            self.caught = None
        Late.all = graphs()
        if trainer.global_step <= self.behind:
            Late.early = Late.all


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def test_it_compiles_a_few_graphs_clips_and_tells_its_kernels(tmp_path, caplog):
    caplog.set_level("INFO")
    config = tiny(*GPU, "max_steps=60", "validate_every=30", "trainer.gradient_clip_val=0.05", record=True)
    train(config, tmp_path)
    assert Record.norms == pytest.approx([0.05] * 60, rel=1e-2)
    assert 3 <= graphs() <= 12
    (told,) = [line for line in caplog.messages if "attention is computed by" in line]
    assert "encoder efficient attention" in told
    assert "decoder flash attention" in told
    assert "cross efficient attention" in told


def test_steps_wait_for_nothing_and_compile_nothing_once_they_are_warm(tmp_path):
    config = tiny(*GPU, "max_steps=45", "validate_every=45")
    config["callbacks"]["progress"]["every"] = 1000  # a line of progress asks for numbers
    config["callbacks"] = {
        "late": {"_target_": "test_gpu.Late", "behind": 30},
        **config["callbacks"],
    }
    train(config, tmp_path)
    assert Late.early > 0
    assert Late.all - Late.early <= 2, "sizes that are multiples of 16, and single sentences, may come late"
    assert Late.waits == []


@pytest.mark.parametrize("loss", ["whole", "fused"])
def test_compiled_learns_as_eager_does(tmp_path, loss):
    """Without dropout, of which each draws its own: losses of like steps agree as far as bf16 goes."""
    for name, backend in (("eager", "null"), ("compiled", "inductor")):
        settings = ("model.dropout=0", f"loss={loss}", f"compile={backend}", "max_steps=30", "validate_every=10")
        train(tiny(*GPU, *settings), tmp_path / name)
    eager, compiled = (metrics(tmp_path / name) for name in ("eager", "compiled"))
    assert eager.keys() == compiled.keys()
    for step, row in eager.items():
        if row.get("train_loss"):
            assert float(compiled[step]["train_loss"]) == pytest.approx(float(row["train_loss"]), rel=3e-2), step


def test_a_run_goes_on_where_it_was_stopped(tmp_path):
    settings = (*GPU, "max_steps=12", "validate_every=6")
    train(tiny(*settings), tmp_path / "whole")
    with pytest.raises(Accident.Happened):
        train(tiny(*settings, raise_at=8), tmp_path / "stopped")
    before = last(tmp_path / "stopped")
    train(tiny(*settings), tmp_path / "stopped")
    whole, stopped = (last(tmp_path / name) for name in ("whole", "stopped"))
    assert before["global_step"] < whole["global_step"] == stopped["global_step"] == 12
    gone = apart(before["state_dict"], whole["state_dict"])
    assert apart(stopped["state_dict"], whole["state_dict"]) < gone / 4  # sums of atomics have no order


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The distance of all weights together, relative to their size."""
    flat = [torch.cat([part[name].double().flatten() for name in sorted(other)]) for part in (one, other)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


@pytest.mark.parametrize("positions", [7, 4096])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_loss_is_the_whole_one(dtype, positions):
    torch.manual_seed(0)
    model = transformer().cuda()
    rows = torch.randint(4, model.target_vocab_size, (40, 15)).tolist()
    batch = collate(
        [row[: 3 + n % 12] for n, row in enumerate(rows)], [row[: 15 - n % 12] for n, row in enumerate(rows)]
    )
    batch = type(batch)(*(side.cuda() for side in batch))
    found = []
    for criterion in (WholeLoss(), FusedLoss(positions=positions)):
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype is torch.bfloat16):
            loss = criterion(model, batch, 0.1)
        loss.backward()
        found.append((loss.item(), model.output.weight.grad.clone(), model.encoder[0].feed_forward.expand.weight.grad))
    (one, *plain), (other, *ours) = found
    near = 1e-4 if dtype is torch.float32 else 3e-2
    assert other == pytest.approx(one, rel=near)
    for a, b in zip(ours, plain, strict=True):
        assert ((a - b).norm() / b.norm()).item() <= near


@pytest.mark.parametrize("name", ["fused", "flex"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("slopes", [None, (0.5, 0.25)])
@pytest.mark.parametrize(
    ("kind", "queries", "keys"),
    [("self", 33, 33), ("causal", 33, 33), ("causal", 1, 40), ("causal", 5, 40), ("cross", 21, 40)],
)
def test_attention_is_its_definition(name, dtype, slopes, kind, queries, keys):
    """In eval mode whatever the dropout is; with a sentence that is all padding, and from a cache."""
    torch.manual_seed(0)
    sizes = {"num_heads": 2, "head_dim": 32}
    fast = (Fused(dropout=0.5, **sizes) if name == "fused" else Flex(dropout=0.0, **sizes)).eval()
    slow = ScaledDot(dropout=0.0, scale=True, **sizes)
    keys_BS = (torch.arange(keys)[None] < torch.tensor([keys, keys // 2, 0])[:, None]).cuda()
    given = [torch.randn(3, 2, n, 32, device="cuda").to(dtype) for n in (queries, keys, keys)]
    for mask in (Mask(kind, slopes=slopes), Mask(kind, keys_BS, slopes=slopes)):
        found = []
        for one, type_ in ((fast, dtype), (slow, torch.float64)):
            q, k, v = (x.to(type_).requires_grad_() for x in given)
            out = one(q, KV(k, v), mask) if one is fast else one.weights(q, k, mask) @ v
            gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
            found.append(dict(zip(("out", "q", "k", "v"), (out, *gradients), strict=True)))
        for part in found[1]:
            near = 2e-3 if dtype is torch.float32 else 5e-2  # tf32 may be on
            assert apart(*({part: one[part]} for one in found)) <= near, part
        assert mask.keys_BS is None or not found[0]["out"][2].any()


def test_fused_adamw_gets_clipped_gradients_whatever_the_precision(tmp_path):
    for precision in ("bf16-mixed", "32-true"):
        settings = ("compile=null", f"trainer.precision={precision}", "trainer.gradient_clip_val=0.05", "max_steps=4")
        train(tiny(*GPU, *settings, "optimizer.fused=true", record=True), tmp_path / precision)
        assert Record.norms == pytest.approx([0.05] * 4, rel=1e-2), precision


def test_the_largest_budget_is_found_and_kept(tmp_path, monkeypatch):
    """In a part of the memory, so that there is an end to it."""
    limit = 3 << 30
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
    settings = (*GPU, "tokenizer.vocab_size=400", "model.feed_forward_dim=4096", "compile=null", "max_steps=3")
    try:
        train(tiny(*settings, "data.batch_tokens=auto"), tmp_path / "run")
        number = Run(tmp_path / "run").config["data"]["batch_tokens"]
        assert 2_000 < number < 240_000, "memory was not what set it"
        train(tiny(*settings, "data.batch_tokens=auto", "max_steps=5"), tmp_path / "run")
        train(tiny(*settings, f"data.batch_tokens={number}", "max_steps=5"), tmp_path / "given")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert Run(tmp_path / "run").config["data"]["batch_tokens"] == number
    found, given = (weights(Path(tmp_path / name) / "best.ckpt") for name in ("run", "given"))
    assert apart(found, given) < 0.05
