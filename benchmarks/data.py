"""Large corpora: what preparing one takes, what an epoch of it takes, and whether memory stays bounded.

    python benchmarks/data.py                             # 1 and 10 million pairs: 5 GiB of disk, an hour on 2 cores
    python benchmarks/data.py --pairs 100000 --folder DIR

Makes a corpus by repeating the pocket corpus with a word of each side exchanged at random, then, each in a process of
its own: prepares it for the first time, prepares it again, and reads an epoch by two processes. Memory is Pss_Anon,
anonymous pages, summed over a process and its children, the most of samples every 0.2 s. Prints Markdown tables.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

from dragoman.machine import processor

SMALL = 2_000  # pairs of the validation and test splits
SECONDS = 20  # that each speed of the loader is measured for
BUDGET = {"batch_tokens": 4096, "max_length": 256}


def pairs_of(count: int) -> Iterator[tuple[str, str]]:
    """The pocket corpus again and again, never quite the same."""
    from dragoman.text.pocket import generate

    known = list(islice(generate("train", size=42_000, seed=2026), 42_000))
    words = [sorted({word for pair in known for word in pair[side].split()}) for side in (0, 1)]
    dice = random.Random(1)
    for number in range(count):
        texts = [text.split() for text in known[number % len(known)]]
        for side, text in enumerate(texts):
            text[dice.randrange(len(text))] = dice.choice(words[side])
        yield " ".join(texts[0]), " ".join(texts[1])


def write(path: Path, count: int) -> None:
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{source}\t{target}\n" for source, target in pairs_of(count))


def corpus(folder: Path, count: int):
    """As `corpus=tsv` makes it."""
    from dragoman.text.corpus import Tsv

    files = {name: str(folder / f"{name}.tsv") for name in ("train", "validation", "test")}
    languages = {"source_language": "en", "target_language": "fr"}
    columns = {"source_column": 1, "target_column": 2}
    return Tsv(
        **files | {"train": str(folder / f"{count}.tsv")},
        **languages,
        **columns,
        validation_size=1,
        test_size=1,
        seed=1,
    )


def stage(name: str, folder: Path, count: int) -> None:
    """One stage, in this process; prints what was measured as JSON."""
    from dragoman.data.module import TranslationData
    from dragoman.data.reading import train_tokenizers
    from dragoman.data.sampler import START
    from dragoman.data.stored import Stored
    from dragoman.text.splits import Proportions
    from dragoman.text.tokenizer import SentencePiece, Tokenizers

    began, reading = time.perf_counter(), Stored(**BUDGET)
    splits, _ = reading.cleaned(corpus(folder, count), {}, lambda items, what, total: items)
    read = time.perf_counter()
    if name == "first":
        rest = {"joint": True, "byte_fallback": True, "character_coverage": 1.0, "symbols": None, "normalisation": None}
        how = SentencePiece(model_type="unigram", vocab_size=1500, **rest)
        (folder / str(count)).mkdir(exist_ok=True)
        train_tokenizers(reading, splits.train, how).save(folder / str(count))
    learned = time.perf_counter()
    tokenizers = Tokenizers.load(folder / str(count))
    data = TranslationData(splits, tokenizers, reading, Proportions(), seed=1, num_workers=0)
    data.setup()
    ready = time.perf_counter()
    found = {"read": read - began, "learn": learned - read, "tokenise": ready - learned, "ready": ready - began}
    if name == "epoch":
        found |= {f"speed {workers}": speed(data.train, START, workers) for workers in (0, 2)}
        found |= epoch(data.train, START, count)
    print(json.dumps(found))


def speed(stream, position, workers: int) -> float:
    """Target tokens, padding not counted, that the loader alone gives in a second."""
    from dragoman.data.reading import Fetching
    from dragoman.ids import PAD

    batches = iter(stream.loader(position, Fetching(workers, pin_memory=False)))
    for _ in range(50):
        next(batches)
    began, tokens = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        tokens += int((next(batches).tgt_BT[:, 1:] != PAD).sum())
    return tokens / (time.perf_counter() - began)


def epoch(stream, position, count: int) -> dict[str, float]:
    """Seconds that one takes with two processes that fetch; every pair is counted."""
    from dragoman.data.reading import Fetching

    began, seen, batches = time.perf_counter(), 0, 0
    for batch in stream.loader(position, Fetching(2, pin_memory=False)):
        seen += len(batch.src_BS)
        batches += 1
        if seen >= count:
            break
    return {"epoch": time.perf_counter() - began, "seen": seen, "batches": batches}


def anonymous(process: int) -> int:
    """Bytes of the process and all its children."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, ProcessLookupError):
        return 0
    own = next((int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss_Anon")), 0)
    return own + sum(anonymous(int(child)) for child in children)


def alone(name: str, folder: Path, count: int) -> dict[str, float]:
    """A stage in a process of its own, and the most memory that it took."""
    variables = os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")}
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder), "--pairs", str(count)]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    most = [0]

    def watch() -> None:
        while process.poll() is None:
            most[0] = max(most[0], anonymous(process.pid))
            time.sleep(0.2)

    watching = threading.Thread(target=watch)
    watching.start()
    output = process.communicate()[0]
    watching.join()
    if process.returncode:
        sys.exit(f"The stage {name} of {count:,} pairs failed.")
    return json.loads(output) | {"GiB": most[0] / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="where corpora and cache are put, and stay; else a temporary one")
    parser.add_argument("--stage", choices=("first", "again", "epoch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage(options.stage, options.folder, options.pairs[0])
        return
    print(f"{processor()}, {os.cpu_count()} cores, {date.today()}\n")
    columns = ("pairs", "read s", "learn s", "tokenise s", "GiB", "again s", "GiB", "tokens/s, 0 workers", "2 workers")
    print("| " + " | ".join((*columns, "epoch s", "GiB")) + " |\n" + "|---" * 11 + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("validation", "test"):
            write(folder / f"{name}.tsv", SMALL)
        for count in options.pairs:
            write(folder / f"{count}.tsv", count)
            first, again, run = (alone(name, folder, count) for name in ("first", "again", "epoch"))
            if run["seen"] != count:
                sys.exit(f"An epoch had {run['seen']:,} pairs, not {count:,}.")
            cells = [f"{first[key]:.0f}" for key in ("read", "learn", "tokenise")]
            cells += [f"{first['GiB']:.2f}", f"{again['ready']:.1f}", f"{again['GiB']:.2f}"]
            cells += [f"{run['speed 0']:,.0f}", f"{run['speed 2']:,.0f}", f"{run['epoch']:.0f}", f"{run['GiB']:.2f}"]
            print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
