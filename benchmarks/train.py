"""How fast Dragoman trains beside its peers: the same model, text, ids and batch budget, alternating, on a CPU.

    python benchmarks/train.py --size small --folder DATA     DATA/train.en and DATA/train.de; without it, pocket corpus
    python benchmarks/train.py --size small --folder DATA --check      nothing was cut for it: losses, against plain.py

Prints a Markdown table: target tokens a second, padding not counted, and peak memory, each contender at its faster one
of fp32 and bf16, and the ratios to Dragoman with their quartiles over the rounds. Each contender of `peers/` runs in a
process of its own; JoeyNMT and Hugging Face's trainer also have environments of their own, which are made on first use
and see through to this one's torch. Whatever else runs on the machine slows all alike; it is the ratios that count.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers.staging import CACHE, SIZES, flops_of, prepare, run

from dragoman.errors import InputError
from dragoman.machine import processor
from dragoman.models.dropout import Dropout
from dragoman.text.tokenizer import TooManyPieces
from dragoman.training.precision import best_precision

CONTENDERS = {"Dragoman": "dragoman_run", "nn.Transformer": "plain", "Hugging Face": "huggingface", "JoeyNMT": "joey"}
OURS, PLAIN = "Dragoman", "nn.Transformer"
PRECISIONS = ("fp32", "bf16")
EXACT_STEPS, EXACT_WITHIN = 200, 1e-3  # fp32 without dropout: nats per token, at every step
WHOLE_STEPS, WHOLE_LAST, WHOLE_WITHIN = 500, 50, 0.01  # the whole recipe: relative, of the mean of the last ones


def compare(job: dict[str, Any], options: argparse.Namespace) -> None:
    """Alternating rounds, the first of them with each precision, of which the faster one is kept; then the table."""
    job |= {"steps": options.steps, "warm_up": options.warm_up, "same": None}

    def answers(precisions: dict[str, str]) -> dict[str, Any]:
        return {name: run(CONTENDERS[name], options, job | {"precision": one}) for name, one in precisions.items()}

    either = {one: answers(dict.fromkeys(options.contenders, one)) for one in PRECISIONS}
    chosen = {name: max(PRECISIONS, key=lambda one: either[one][name]["speed"]) for name in options.contenders}
    for one, first in either.items():
        tell(one, first)
    rounds = [{name: either[one][name] for name, one in chosen.items()} | {"products": run("products", options, job)}]
    while len(rounds) < options.rounds:
        rounds.append(answers(chosen) | {"products": run("products", options, job)})
        tell(f"round {len(rounds)} of {options.rounds}", rounds[-1])
    lengths_N2 = np.load(Path(job["data"]) / "lengths.npy")
    flops = flops_of(job["model"], lengths_N2)
    print("| | precision | tokens a step | target tokens/s | Dragoman is × as fast, quartiles | peak GiB", end="")
    print(" | × the memory | GFLOP/s | of the products' |\n" + "|---" * 9 + "|")
    for name, precision in chosen.items():
        print(row(name, precision, rounds, flops))


def tell(title: str, answers: dict[str, Any]) -> None:
    """On stderr, so that something is left of rounds that are broken off."""
    speeds = (f"{name} {answer['speed']:,.0f}" for name, answer in answers.items() if name in CONTENDERS)
    print(f"{title}: {', '.join(speeds)} target tokens/s", file=sys.stderr)


def row(name: str, precision: str, rounds: list[dict[str, Any]], flops: float) -> str:
    """A contender's, over all rounds; `flops` are those of a target token."""

    def median(key: str) -> float:
        return statistics.median(answers[name][key] for answers in rounds)

    low, middle, high = statistics.quantiles([one[OURS]["speed"] / one[name]["speed"] for one in rounds], n=4)
    memory = statistics.median(one[name]["memory"] / one[OURS]["memory"] for one in rounds)
    share = statistics.median(one[name]["speed"] * flops / one["products"][precision] for one in rounds)
    cells = [f"{name} {rounds[0][name]['version']}", precision, f"{median('tokens in a step'):,.0f}"]
    cells += [f"{median('speed'):,.0f}", f"{middle:.2f} ({low:.2f}–{high:.2f})", f"{median('memory') / 2**30:.2f}"]
    cells += [f"{memory:.2f}", f"{median('speed') * flops / 1e9:,.0f}", f"{share:.1%}"]
    return f"| {' | '.join(cells)} |"


def check(job: dict[str, Any], options: argparse.Namespace) -> bool:
    """Whether the losses are those of the plain loop, from the same weights on the same batches."""
    job |= {"same": str(Path(job["data"]) / "same.pt"), "warm_up": 1}

    def losses(name: str, steps: int, precision: str, dropout: float, threads: int = options.threads) -> np.ndarray:
        how = {"steps": steps, "precision": precision, "model": job["model"] | {"dropout": dropout}}
        with_threads = argparse.Namespace(**vars(options) | {"threads": threads})
        return np.array(run(CONTENDERS[name], with_threads, job | how)["losses"])

    exact, others = (EXACT_STEPS, "fp32", 0.0), options.threads - 1 or 2
    ours, plain, again = losses(OURS, *exact), losses(PLAIN, *exact), losses(PLAIN, *exact, threads=others)
    apart, rounding = abs(ours - plain).max(), abs(again - plain).max()
    print(f"fp32, no dropout, {EXACT_STEPS} steps, loss {plain[0]:.3f} → {plain[-1]:.3f}: at most {apart:.1e} apart;")
    print(f"{PLAIN} with {options.threads} and with {others} threads, where sums round differently: {rounding:.1e}")
    precision = "bf16" if best_precision("auto", "cpu").startswith("bf16") else "fp32"
    whole = (WHOLE_STEPS, precision, options.dropout)
    ours, plain = (losses(name, *whole)[-WHOLE_LAST:].mean() for name in (OURS, PLAIN))
    change = ours / plain - 1
    print(f"{precision}, dropout {options.dropout}, mean of the last {WHOLE_LAST} of {WHOLE_STEPS} steps:", end=" ")
    print(f"{ours:.4f} to {plain:.4f}, {change:+.2%}")
    return bool(apart <= EXACT_WITHIN and abs(change) <= WHOLE_WITHIN)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--folder", type=Path, help="with train.en and train.de, plain or gzipped")
    parser.add_argument("--pairs", type=int, help="the first so many of them; else all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of each run")
    parser.add_argument("--warm-up", type=int, default=10, help="steps that are not timed")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="sentences × the longest of them")
    parser.add_argument(
        "--vocabulary", type=int, default=8000, help="pieces: few --pairs allow fewer, the pocket corpus 1,500"
    )
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--check", action="store_true", help="losses instead of speeds")
    parser.add_argument("--environments", type=Path, default=CACHE, help="where those of the peers are made")
    options = parser.parse_args()
    if OURS not in options.contenders or options.rounds < 2 or not 0 < options.warm_up < options.steps:
        parser.error(f"{OURS} must be among the contenders, --rounds at least 2, and --warm-up below --steps.")
    return options


def main() -> int:
    options = read_options()
    print(
        f"{processor()}, {options.threads} threads, torch {torch.__version__}, {date.today()}: {options.size},", end=" "
    )
    print(f"{options.folder.name if options.folder else 'pocket corpus'}, batches of {options.batch_tokens} tokens,")
    print(f"dropout {options.dropout}, in Dragoman {Dropout(options.dropout).realised:.4f}")
    print(f"\n    python {' '.join(map(shlex.quote, sys.argv))}\n", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        job = prepare(Path(temporary), options)
        if options.check:
            return 0 if check(job, options) else 1
        compare(job, options)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TooManyPieces as error:
        sys.exit(f"`--vocabulary` is larger than this text allows: set it to {error.most} or less.")
    except InputError as error:
        sys.exit(str(error))
