"""Which number format to train in, where the user leaves it to us."""

import torch


def best_precision(asked: str, accelerator: str) -> str:
    """`auto` → bf16-mixed where the processor multiplies bf16 in hardware, else 32-true; anything else as asked.

    fp16 needs loss scaling and wins nothing over bf16 where there is bf16, so it is never chosen for anybody.
    """
    if asked != "auto":
        return asked
    has_bf16 = torch.cuda.is_bf16_supported() if on_gpu(accelerator) else cpu_has_bf16()
    return "bf16-mixed" if has_bf16 else "32-true"


def number_format(precision: str) -> torch.dtype:
    """In which a trainer of that precision multiplies matrices."""
    kinds = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return kinds.get(precision.split("-")[0], torch.float32)


def on_gpu(accelerator: str) -> bool:
    """Whether that is one of CUDA's."""
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def cpu_has_bf16() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX-BF16; emulated bf16 would be slower than fp32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
