"""What the process asks of the machine."""

import platform
import subprocess
import sys

import pytest

from dragoman.machine import gives_huge_pages
from scripts_for_tests import environment

# How many pages the system gives for a tensor of 256 MiB.
PAGES = """
import resource
import dragoman
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(256 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# The same for twenty tensors, each made when the one before is gone, after as many that find their places.
PAGES_AGAIN = """
import resource
import torch
from dragoman.machine import keep_freed_memory
keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(program: str, **variables: str) -> int:
    inherited = {name: value for name, value in environment().items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=inherited | variables, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(not gives_huge_pages(), reason="the system gives no huge pages to who asks")
def test_large_tensors_lie_in_huge_pages() -> None:
    assert pages(PAGES) < 10_000
    assert pages(PAGES, THP_MEM_ALLOC_ENABLE="0") > 60_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep what is freed")
def test_freed_memory_is_had_again() -> None:
    assert pages(PAGES_AGAIN, THP_MEM_ALLOC_ENABLE="0") < 1_000
    assert pages(PAGES_AGAIN, THP_MEM_ALLOC_ENABLE="0", MALLOC_MMAP_MAX_="65536") > 300_000
