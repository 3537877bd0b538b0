"""Which number format to train in, where the user leaves it to us."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from dragoman.run import Run, is_begun
from dragoman.training.flops import product_rate

AUTO = "auto"
SIDE = 512  # of the square matrices that decide
WORTH = 1.1  # times as many products a second, for what is lost in going to and fro


def settle_precision(config: dict[str, Any], folder: Path) -> None:
    """A run that was begun keeps the number format that it found: on another machine it is still the same run."""
    trainer = config["trainer"]
    begun = (Run(folder).config.get("trainer") or {}).get("precision") if is_begun(folder) else None
    if trainer["precision"] == AUTO and begun:
        trainer["precision"] = begun
    trainer["precision"] = best_precision(trainer["precision"], trainer["accelerator"])


def best_precision(asked: str, accelerator: str) -> str:
    """`auto` → bf16-mixed where the processor multiplies sooner in bf16, else 32-true; anything else as asked.

    fp16 needs loss scaling and wins nothing over bf16 where there is bf16, so it is never chosen for anybody.
    """
    if asked != AUTO:
        return asked
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu(accelerator) else cpu_prefers_bf16()
    return "bf16-mixed" if bf16 else "32-true"


def number_format(precision: str) -> torch.dtype:
    """In which a trainer of that precision multiplies matrices."""
    kinds = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return kinds.get(precision.split("-")[0], torch.float32)


def on_gpu(accelerator: str) -> bool:
    """Whether that is one of CUDA's."""
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


@cache
def cpu_prefers_bf16() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX-BF16, and is faster with it, which takes some 30 ms to find out.

    Emulated bf16 would be slower than fp32; and on Intel's Emerald Rapids without AMX, as virtual machines may have
    it, AVX512-BF16 does half as many products a second as fp32, where on AMD's Zen 4 it does twice as many.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False
    half, whole = (product_rate(torch.device("cpu"), dtype, SIDE) for dtype in (torch.bfloat16, torch.float32))
    return half > WORTH * whole
