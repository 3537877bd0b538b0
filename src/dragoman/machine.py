"""What this runs on."""

import platform
from pathlib import Path

import torch


def processor() -> str:
    """The processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_has_bf16() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX-BF16; emulated bf16 would be slower than fp32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
