"""What the contenders are given: the same text as the same ids, a budget, a model; and each a process of its own."""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragoman.attention import Fused
from dragoman.data.sampler import batches_of
from dragoman.models import Transformer
from dragoman.text.lines import read_parallel
from dragoman.text.tokenizer import SentencePiece
from dragoman.training.flops import training_flops

PEERS = Path(__file__).parent
CACHE = Path.home() / ".cache" / "dragoman" / "benchmarks"
OWN = {"huggingface": "huggingface", "joey": "joey", "joey_translate": "joey"}  # contender → its environment
NEEDS = {"huggingface": ["accelerate"], "joey": ["joeynmt==2.3", "importlib_metadata", "sentencepiece==0.2.0"]}
SIZES = {
    "tiny": (128, 256, 4, 4),
    "small": (256, 1024, 4, 3),
    "base": (512, 2048, 8, 6),
    "big": (1024, 4096, 16, 6),
}  # widths, heads, layers
MECHANISMS = dict.fromkeys(("encoder_attention", "decoder_attention", "cross_attention"), Fused)
RECIPE = {"lr": 5e-4, "warmup_steps": 400, "betas": [0.9, 0.98], "eps": 1e-9, "clip": 1.0, "label_smoothing": 0.1}
MAX_LENGTH, SEED = 128, 1


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Text, ids and tokenizer for all, and what of the job is common to all."""
    pairs = list(islice(read(options.folder), options.pairs))
    size = options.vocabulary if options.folder else min(options.vocabulary, 1500)
    rest = {"joint": True, "byte_fallback": True, "character_coverage": 1.0, "symbols": None, "normalisation": None}
    how = SentencePiece(model_type="unigram", vocab_size=size, **rest)
    tokenizers = how.train(*([pair[side] for pair in pairs] for side in (0, 1)))
    tokenizers.save(folder)
    ids = [tokenizer.encode_all([pair[side] for pair in pairs]) for side, tokenizer in enumerate(tokenizers)]
    lengths_N2 = np.array([[len(row) + 1 for row in side] for side in ids]).T
    usable = np.flatnonzero((lengths_N2.min(1) > 1) & (lengths_N2.max(1) <= MAX_LENGTH))
    for side, name in enumerate(("source", "target")):
        write(folder / f"text.{name}", (pairs[row][side] for row in usable))
        write(folder / f"ids.{name}", (" ".join(map(str, ids[side][row])) for row in usable))
    np.save(folder / "lengths.npy", lengths_N2[usable])
    batches = batches_of(lengths_N2[usable], batch_tokens=options.batch_tokens, max_length=MAX_LENGTH, seed=(SEED,))
    budget = {"batch_tokens": options.batch_tokens, "sentences": round(len(usable) / len(batches))}
    model = model_of(options.size, size, options.dropout)
    return {"data": str(folder), "seed": SEED, "max_length": MAX_LENGTH, "recipe": RECIPE, "model": model, **budget}


def read(folder: Path | None) -> Iterable[tuple[str, str]]:
    if folder is None:
        from dragoman.text.pocket import generate

        return generate("train", size=20_000, seed=2026)
    names = (path if (path := folder / f"train.{end}").exists() else folder / f"train.{end}.gz" for end in ("en", "de"))
    return read_parallel(*names)


def write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def model_of(size: str, vocabulary: int, dropout: float) -> dict[str, Any]:
    """What all contenders can be: post-norm, ReLU, sinusoids, one table; dropout of embeddings and sublayers."""
    dim, inner, heads, layers = SIZES[size]
    same = {"source_vocab_size": vocabulary, "target_vocab_size": vocabulary, "max_length": MAX_LENGTH + 2}
    widths = {"dim": dim, "num_heads": heads, "num_kv_heads": heads, "feed_forward_dim": inner}
    kind = {"norm": "post", "feed_forward": "relu", "positions": "sinusoidal", "tied_embeddings": "all"}
    drops = {"dropout": dropout, "feed_forward_dropout": 0.0, "attention_dropout": 0.0}
    return {**same, **widths, "encoder_layers": layers, "decoder_layers": layers, **kind, **drops}


def flops_of(model: dict[str, Any], lengths_N2: np.ndarray) -> float:
    """Of training such a model on such pairs once, for each target token."""
    with torch.device("meta"):
        made = Transformer(**model, **MECHANISMS)
    return float(training_flops(made, lengths_N2) / lengths_N2[:, 1].sum())


def python(name: str, environments: Path) -> Path:
    """The interpreter of a contender; its environment is made if it needs one that is not there."""
    if name not in OWN:
        return Path(sys.executable)
    folder = environments / f"{OWN[name]}-{sysconfig.get_python_version()}"
    ready = folder / "ready"
    if not ready.exists():
        print(f"making {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        # Behind its own packages those of this environment, torch among them.
        inside = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}), "beside.pth")
        inside.write_text(sysconfig.get_path("purelib") + "\n")
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *NEEDS[OWN[name]]]
        subprocess.run(install, check=True, stdout=sys.stderr)
        ready.touch()
    return folder / "bin" / "python"


def run(name: str, options: argparse.Namespace, job: dict[str, Any]) -> dict[str, Any]:
    """A contender in a process of its own, on so many threads; its answer."""
    variables = {f"{kind}_NUM_THREADS": str(options.threads) for kind in ("OMP", "MKL")}
    variables |= {"CUDA_VISIBLE_DEVICES": "", "HF_DATASETS_CACHE": f"{job['data']}/cache", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        written, answer = Path(scratch, "job.json"), Path(scratch, "answer.json")
        written.write_text(json.dumps(job | {"scratch": scratch, "answer": str(answer)}))
        command = [python(name, options.environments), PEERS / f"{name}.py", written]
        ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{ended.stderr}\n{name} failed.")
        return json.loads(answer.read_text())
