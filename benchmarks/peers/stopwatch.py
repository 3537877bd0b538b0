"""How a contender that translates is timed, whatever it is: nothing but the standard library."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

from job import peak_memory

Rows = list[list[int]]  # ids of sentences, without BOS and EOS


def answer(
    job: SimpleNamespace, version: str, throughput: Callable[[Rows, int], Rows], latency: Callable[[Rows, int], Rows]
) -> None:
    """Both translate rows with a beam: all of them, in batches as they see fit; and one alone."""
    sources = [[int(piece) for piece in line.split()] for line in Path(job.sources).read_text().splitlines()]
    found = {}
    for beam in job.beams:
        throughput(sources[: job.batch], beam)
        began = time.perf_counter()
        written = throughput(sources, beam)
        found[beam] = {"seconds": time.perf_counter() - began, "written": written}
    memory = peak_memory()
    for beam in job.beams:
        latency(sources[:1], beam)
        waits = []
        for source in sources[: job.alone]:
            began = time.perf_counter()
            latency([source], beam)
            waits.append(time.perf_counter() - began)
        found[beam]["waits"] = waits
    Path(job.answer).write_text(json.dumps({"version": version, "memory": memory, "found": found}))


def limit(job: SimpleNamespace, rows: Rows) -> int:
    """The most tokens of a batch's translations, for a search that has one number for all of them."""
    return int(max(len(row) + 1 for row in rows) * job.length_ratio + job.length_extra)


def in_batches(
    translate: Callable[[Rows, int], Rows], size: int, each: Callable[..., Iterable[Rows]] = map
) -> Callable[[Rows, int], Rows]:
    """So many sentences at a time, those of like length together; `each` applies a function to batches."""

    def whole(sources: Rows, beam: int) -> Rows:
        order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
        found: Rows = [[] for _ in sources]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        written = each(lambda numbers: translate([sources[one] for one in numbers], beam), batches)
        for numbers, rows in zip(batches, written, strict=True):
            for number, row in zip(numbers, rows, strict=True):
                found[number] = row
        return found

    return whole
