"""What the process asks of the machine."""

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


def pages(**variables: str) -> int:
    inherited = {name: value for name, value in environment().items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", PAGES]
    done = subprocess.run(command, env=inherited | variables, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(not gives_huge_pages(), reason="the system gives no huge pages to who asks")
def test_large_tensors_lie_in_huge_pages() -> None:
    assert pages() < 10_000
    assert pages(THP_MEM_ALLOC_ENABLE="0") > 60_000
