"""What this runs on."""

import ctypes
import os
import platform
import resource
import sys
from pathlib import Path

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt(3)


def ask_for_huge_pages() -> None:
    """Let torch ask for pages of 2 MiB where the system gives them to who asks.

    Logits, taken anew in each step, are ten thousands of small pages, and to get those was a sixth of a small model's
    step on a CPU. torch looks once, when it is imported; THP_MEM_ALLOC_ENABLE=0 in the environment forbids it.
    """
    if gives_huge_pages():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def gives_huge_pages() -> bool:
    """Whether the system gives pages of 2 MiB to who asks: not to all, and not to nobody."""
    return HUGE_PAGES.is_file() and "[madvise]" in HUGE_PAGES.read_text()


def keep_freed_memory() -> None:
    """Let what is freed stay with this process, for the next tensor: each training step takes and frees the same.

    glibc gives large blocks back to the system, which gives them out again as pages that it first fills with zeros.
    Other C libraries stay as they are, and so does glibc where the environment sets its MALLOC_MMAP_MAX_ or
    MALLOC_TRIM_THRESHOLD_ (mallopt(3) has its own values).
    """
    set_outside = {"MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys()
    if platform.libc_ver()[0] == "glibc" and not set_outside:
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, -1)


def processor() -> str:
    """The processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory() -> int:
    """The most bytes that this process held. Its `ru_maxrss` would begin with those of the process that started it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    unit = 1 if sys.platform == "darwin" else 1024
    return peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
