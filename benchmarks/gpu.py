"""How fast Dragoman trains on one GPU: eager and compiled, either loss, beside `nn.Transformer` in a plain loop.

    python benchmarks/gpu.py --minutes 8 --output gpu.json
    python benchmarks/gpu.py --device cpu --size tiny --seconds 0.1     the same road, to see that it is one

Pairs are made of random ids whose lengths are spread like those of sentences; batches, loop, optimizer, clipping and
loss are those of `trainer=gpu`. Each case runs in a process of its own and may fail or run out of time by itself; cases
that no longer fit the minutes are named. Rounds alternate between the cases as often as time allows. Prints a row as
soon as it is known, and in the end a Markdown table: medians and quartiles over the timed windows of target tokens a
second, padding not counted; MFU is `dragoman.training.flops` over the matrix products of this device, measured in the
same run, and over its datasheet.
"""

import argparse
import json
import multiprocessing
import os
import shlex
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from peers.gpu_cases import Stopwatch, products, train_ours, train_plainly
from peers.staging import MAX_LENGTH, SIZES, flops_of, model_of

from dragoman.machine import processor

DATASHEET = {"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16
PUBLISHED = (
    "Published: Transformer-big, 82,059 target tokens/s on one A100, batches of 10,240 tokens, AMP: about 33 % of 312"
    " TFLOP/s (NVIDIA DeepLearningExamples, 2022)."
)
PRODUCTS = "products"
Cell = Callable[[dict[str, Any]], str]


class Case(NamedTuple):
    """One row."""

    size: str
    who: str  # Dragoman or nn.Transformer
    compiled: bool
    loss: str

    def __str__(self) -> str:
        how = "compiled" if self.compiled else "eager"
        return f"{self.size}, {self.who}, {how}, loss {self.loss}"


def cases(sizes: list[str]) -> list[Case]:
    """The most telling first: time may run out."""
    ours = [("Dragoman", True, "whole"), ("Dragoman", False, "whole")]
    rest = [("Dragoman", True, "fused"), ("Dragoman", False, "fused")]
    first = [Case(size, *one) for size in sizes for one in (*ours, ("nn.Transformer", False, "whole"))]
    return first + [Case(size, *one) for one in rest for size in sizes]


def chosen(options: argparse.Namespace) -> list[Case]:
    return [case for case in cases(options.size) if options.only in str(case)]


def pairs(count: int, vocabulary: int) -> tuple[Dataset, np.ndarray]:
    """Ids by Zipf's law; lengths log-normal, of 27 tokens, some above 100, targets 5 % longer, with noise."""
    dice = np.random.default_rng(1)
    source = dice.lognormal(np.log(23), 0.55, count)
    lengths_N2 = np.stack((source, source * dice.lognormal(0.05, 0.2, count)), axis=1)
    lengths_N2 = lengths_N2.round().clip(2, MAX_LENGTH - 1).astype(np.int64)
    columns = {}
    for side, lengths_N in zip(("source", "target"), lengths_N2.T, strict=True):
        ids = (3 + (vocabulary - 4) ** dice.random(lengths_N.sum())).astype(np.int32)
        columns[side] = pa.ListArray.from_arrays(np.cumsum([0, *lengths_N]).astype(np.int32), ids)
    return Dataset(pa.table(columns)), lengths_N2 + 1


def work(case: Case | str, options: argparse.Namespace, made: dict[str, Any], answer: Path) -> None:
    """In a process of its own: what a case finds, or why it could not."""
    try:
        if isinstance(case, str):
            found = products(options.device)
        else:
            watch = Stopwatch(options.device, options.warm_up, options.windows, options.seconds)
            model = model_of(case.size, options.vocabulary, options.dropout)
            train = train_ours if case.who == "Dragoman" else train_plainly
            backend = {"cuda": "inductor", "cpu": "eager"}[options.device] if case.compiled else None
            found = train(model, made | {"tokens": options.batch_tokens, "backend": backend, "loss": case.loss}, watch)
    except BaseException as error:
        told = " ".join(str(error).split())[:300]
        found = {"failed": f"{type(error).__name__}: {told}", "trace": traceback.format_exc()[-4000:]}
    answer.write_text(json.dumps(found))


def run(case: Case | str, options: argparse.Namespace, made: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A case's answer, or that it had none after so many seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary, "answer.json")
        child = multiprocessing.get_context(options.begin).Process(target=work, args=(case, options, made, answer))
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.terminate()
            child.join(10)
            child.kill()
            return {"failed": f"had not ended after {seconds:.0f} s, when the minutes were over"}
        ended = f"its process ended with {child.exitcode}"
        return json.loads(answer.read_text()) if answer.exists() else {"failed": ended}


def all_rounds(options: argparse.Namespace, made: dict[str, Any]) -> dict[str, Any]:
    """Case → answers, as far as the minutes last; written after each."""
    ends = time.monotonic() + 60 * options.minutes - 20
    found: dict[str, Any] = defaultdict(list)
    lasted: dict[str, float] = {}
    for number in range(options.rounds):
        for case in (PRODUCTS, *chosen(options)):
            name, began = str(case), time.monotonic()
            failed = any("failed" in one for one in found[name])
            if failed or ends - began < lasted.get(name, options.least):
                if not number:
                    print(f"{name}: left out, the minutes are over", file=sys.stderr, flush=True)
                continue
            answer = run(case, options, made, ends - began)
            lasted[name] = time.monotonic() - began
            found[name].append(answer | {"seconds": lasted[name]})
            if case == PRODUCTS and "failed" in answer and options.begin == "fork":
                options.begin = "spawn"  # something has touched CUDA before
                found[name] = [run(case, options, made, ends - began)]
            told = answer.get("failed") or brief(answer)
            print(f"round {number + 1}, {name}: {told} ({lasted[name]:.0f} s)", file=sys.stderr, flush=True)
            if options.output:
                options.output.write_text(json.dumps({"options": vars(options), "found": found}, indent=1, default=str))
    return found


def brief(answer: dict[str, Any]) -> str:
    if "rate" in answer:
        return f"{answer['rate'] / 1e12:,.1f} TFLOP/s on {answer['device']}"
    return f"{statistics.median(answer['speeds']):,.0f} tokens/s, {answer['memory'] / 2**30:.1f} GiB"


def table(options: argparse.Namespace, made: dict[str, Any], found: dict[str, Any]) -> None:
    rates = [one["rate"] for one in found[PRODUCTS] if "rate" in one]
    device = next((one["device"] for one in found[PRODUCTS] if "rate" in one), "unknown device")
    sheet = next((rate for name, rate in DATASHEET.items() if name in device), None)
    measured = statistics.median(rates) if rates else None
    told = "not measured" if measured is None else f"{measured / 1e12:,.1f} TFLOP/s"
    print(f"{device}, {processor()}, torch {torch.__version__}, Lightning {L.__version__}, {date.today()}")
    print(f"\n    python {' '.join(map(shlex.quote, sys.argv))}\n\nbf16 products of this device: {told}.", PUBLISHED)
    print("\n| | parameters | target tokens/s, quartiles | peak GiB | model TFLOP/s | MFU of the products", end=" ")
    print("| of the datasheet | graphs, while timed | ready after s | attention |\n" + "|---" * 10 + "|")
    for case in chosen(options):
        sound = [one for one in found[str(case)] if "speeds" in one]
        if not sound:
            why = next((one["failed"] for one in found[str(case)]), "left out, the minutes were over")
            print(f"| {case} | {why.replace('|', '/')} |" + " |" * 8)
            continue
        print(row(case, sound, made["lengths_N2"], options, (measured, sheet)))


def row(
    case: Case,
    sound: list[dict[str, Any]],
    lengths_N2: np.ndarray,
    options: argparse.Namespace,
    peaks: tuple[float | None, float | None],
) -> str:
    speeds = [speed for one in sound for speed in one["speeds"]]
    low, middle, high = statistics.quantiles(speeds, n=4) if len(speeds) > 1 else speeds * 3
    model = model_of(case.size, options.vocabulary, options.dropout)
    rate = middle * flops_of(model, lengths_N2)
    shares = ["" if peak is None else f"{rate / peak:.1%}" for peak in peaks]
    first, memory = sound[0], max(one["memory"] for one in sound) / 2**30
    cells = [str(case), f"{first['parameters'] / 1e6:.1f} M", f"{middle:,.0f} ({low:,.0f}–{high:,.0f})"]
    cells += [f"{memory:.1f}", f"{rate / 1e12:,.1f}", *shares]
    cells += [f"{first['graphs']}, {first['late graphs']}", f"{first['ready']:.0f}", first["attention"]]
    return f"| {' | '.join(cells)} |"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["base", "big"])
    parser.add_argument("--only", default="", help="cases that have this in their name")
    parser.add_argument("--minutes", type=float, default=8.0, help="of everything")
    parser.add_argument("--output", type=Path, help="a JSON file, written after each case")
    parser.add_argument("--rounds", type=int, default=2, help="the second as far as time allows")
    parser.add_argument("--warm-up", type=int, default=50, help="optimizer steps that are not timed")
    parser.add_argument("--windows", type=int, default=5, help="of a case, in each round")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a window")
    parser.add_argument("--batch-tokens", type=int, default=25_000, help="sentences × the longest of them")
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--least", type=float, default=25.0, help="seconds that must be left to begin a case")
    # Forked, before any CUDA: what was imported and made serves all. Asking whether there is a GPU must not begin it.
    parser.set_defaults(begin="fork")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    return parser.parse_args()


def main() -> int:
    options = read_options()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} finds no GPU here: --device cpu --size tiny shows the road without one.")
    dataset, lengths_N2 = pairs(options.pairs, options.vocabulary)
    made = {"dataset": dataset, "lengths_N2": lengths_N2}
    found = all_rounds(options, made)
    table(options, made, found)
    return 1 if any("failed" in one for answers in found.values() for one in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
