"""How much faster a student translates than its teacher, alternating, in one run.

    python benchmarks/student.py checkpoints/multi30k_en_de checkpoints/multi30k_en_de_student val.en

Prints a Markdown table for batches of several sizes: medians of sentences a second over alternating rounds, and the
ratio of the teacher's time to the student's with its quartiles over the rounds. Whatever else runs on the machine slows
both alike; it is the ratios that count.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import torch

from dragoman.run import build_search
from dragoman.search import Search
from dragoman.text.lines import read_lines
from dragoman.translator import Translator

LIMITS: dict[str, Any] = {"max_source": 256, "length_ratio": 2.0, "length_extra": 20}
SEARCHES: dict[str, Search] = {
    "beam 5": build_search(
        {"_target_": "dragoman.search.Beam", "beam": 5, "length_penalty": 1.0, "nbest": 1, **LIMITS}
    ),
    "greedy": build_search({"_target_": "dragoman.search.Greedy", **LIMITS}),
}
COMPARED = (("beam 5", "beam 5"), ("greedy", "greedy"), ("beam 5", "greedy"))  # teacher's search, student's
SENTENCES = {1: 16, 16: 64, 64: 256}  # in a batch → in a round


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def translate(folder: str, search: Search, lines: list[str], batch: int) -> Callable[[], object]:
    """Lines in batches of so many, in the order of the file."""
    translator = Translator.load(folder, search=search, device="cpu", batch_tokens=1 << 20)
    return lambda: list(translator.translate(lines, chunk=batch))


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("student")
    parser.add_argument("source", help="a text file to translate")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {given.rounds} rounds\n")
    print("| sentences in a batch | teacher, student | teacher/s | student/s | times as fast, quartiles |")
    print("|---|---|---|---|---|")
    for batch, count in SENTENCES.items():
        lines = list(islice(read_lines(given.source), count))
        make = partial(translate, lines=lines, batch=batch)
        runs = {
            (who, name): make(folder, search)
            for name, search in SEARCHES.items()
            for who, folder in (("teacher", given.teacher), ("student", given.student))
        }
        for run in runs.values():
            run()
        taken = [{key: seconds(run) for key, run in runs.items()} for _ in range(given.rounds)]
        for searches in COMPARED:
            pair = [[one[key] for one in taken] for key in zip(("teacher", "student"), searches, strict=True)]
            speeds = [f"{count / statistics.median(times):.1f}" for times in pair]
            ratios = [slow / fast for slow, fast in zip(*pair, strict=True)]
            print(f"| {batch} | {', '.join(searches)} | {' | '.join(speeds)} | {quartiles(ratios)} |", flush=True)


if __name__ == "__main__":
    main()
