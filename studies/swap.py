"""Swap: one Transformer, five attentions, an equal budget of CPU time on Multi30k, English to German.

    python studies/swap.py --folder DATA

The steps that a mechanism can take in the budget are measured first, on this machine, and kept.
"""

import argparse
import json
import statistics
import time

import torch

from dragoman.attention import Additive, Fused, Linear, ScaledDot, SlidingWindow
from dragoman.models import Transformer
from dragoman.training.loss import smoothed_loss
from dragoman.training.precision import best_precision
from study import RUNS, Job, arguments, by_label, markdown, report, spread, test_bleu, train_all, usage

BUDGET = 15 * 60  # CPU seconds of training steps
ATTENTIONS = {
    "fused": {"made": Fused},
    "dot": {"made": ScaledDot, "scale": True},
    "additive": {"made": Additive},
    "window": {"made": SlidingWindow, "window": 8, "global_tokens": 0},
    "linear": {"made": Linear},
}
SIZES = {
    "source_vocab_size": 8000, "target_vocab_size": 8000, "dim": 256, "num_heads": 4, "num_kv_heads": 4,
    "feed_forward_dim": 512, "encoder_layers": 3, "decoder_layers": 3, "max_length": 1024, "norm": "pre",
    "feed_forward": "relu", "positions": "sinusoidal", "tied_embeddings": "all", "dropout": 0.3,
    "feed_forward_dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip


def model_of(made: type, **settings: object) -> Transformer:
    """The recipe's Transformer with that attention; a window reads the source whole."""

    def attention(**common: object) -> object:
        return made(**common, **settings)

    cross = Fused if made is SlidingWindow else attention
    places = {"encoder_attention": attention, "decoder_attention": attention, "cross_attention": cross}
    return Transformer(**SIZES, **places).train()  # type: ignore[arg-type]


def seconds_per_step(rounds: int = 7) -> dict[str, float]:
    """Medians of alternating rounds: 128 sentences of 16 tokens, one thread."""
    torch.set_num_threads(1)
    src_BS, tgt_BT = (torch.randint(4, 8000, (128, 16)) for _ in range(2))
    steps = {}
    for label, settings in ATTENTIONS.items():
        model = model_of(**settings)  # type: ignore[arg-type]
        steps[label] = (model, torch.optim.AdamW(model.parameters(), fused=True))

    def seconds(model: Transformer, optimizer: torch.optim.Optimizer) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=best_precision("auto", "cpu") == "bf16-mixed"):
            loss = smoothed_loss(model(src_BS, tgt_BT).flatten(0, 1), tgt_BT.flatten(), 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - began

    times = [{label: seconds(*step) for label, step in steps.items()} for _ in range(rounds + 1)][1:]
    return {label: statistics.median(one[label] for one in times) for label in steps}


def budgets() -> dict[str, int]:
    """Steps for each attention, in hundreds; measured once."""
    path = RUNS / "swap" / "steps.json"
    if not path.exists():
        found = {label: round(BUDGET / seconds / 100) * 100 for label, seconds in seconds_per_step().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found) + "\n", "utf-8")
    steps: dict[str, int] = json.loads(path.read_text("utf-8"))
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--folder", required=True, help="the folder with train.en, train.de, val.* and test_2016_flickr.*"
    )
    options = arguments(str(__doc__), parser, seeds=[1])
    steps = budgets()
    # The test set is for finished recipes: this compares on the validation set.
    recipe = ("experiment=multi30k_en_de", f"corpus.folder={options.folder}", "corpus.test=val", "validate_every=500")
    jobs = [
        Job(label, seed, (*recipe, f"swap={label}", f"max_steps={steps[label]}"), "swap")
        for seed in options.seeds
        for label in ATTENTIONS
    ]
    train_all(jobs, options.jobs)
    bleu, used = by_label(jobs, test_bleu), by_label(jobs, usage)
    rows = [
        (
            label,
            f"{steps[label]:,}",
            spread(bleu[label]),
            f"{statistics.mean(one['cpu_seconds'] for one in used[label]) / 60:.1f}",
            f"{max(one['peak_kib'] for one in used[label]) / 2**20:.2f}",
        )
        for label in ATTENTIONS
    ]
    header = (
        "attention",
        "steps in the budget",
        "BLEU, val",
        "CPU minutes, all in all",
        "peak GiB resident",
    )
    text = (
        f"Multi30k, en→de, {BUDGET // 60} CPU minutes of training steps each; seeds"
        f" {', '.join(map(str, options.seeds))}. CPU minutes count tokenising, validation and the test too.\n\n"
    )
    report("swap", text + markdown(header, rows), {"steps": steps, "bleu": bleu, "usage": used})


if __name__ == "__main__":
    main()
