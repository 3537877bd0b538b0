"""Every mechanism and model on the pocket corpus: BLEU, and whether it knows what "it" is and which bank is meant.

python studies/mechanisms.py
"""

import json
import statistics
import subprocess
import sys
from typing import Any

from study import ROOT, Job, arguments, by_label, markdown, report, spread, test_bleu, train_all

# The same Transformer, recipe and budget for all attentions; sinusoidal positions, since not all can be rotated.
TRANSFORMER = ("model.positions=sinusoidal", "max_steps=3000", "validate_every=1000")
RECURRENT = ("model.dim=192", "model.dropout=0", "optimizer.lr=3e-3", "max_steps=2000", "validate_every=1000")
MODELS = {
    "fused": TRANSFORMER,
    "dot": ("swap=dot", *TRANSFORMER),
    "additive": ("swap=additive", *TRANSFORMER),
    "window": ("swap=window", *TRANSFORMER),
    "sparse": ("swap=sparse", *TRANSFORMER),
    "linear": ("swap=linear", *TRANSFORMER),
    "fused, rotary": ("max_steps=3000", "validate_every=1000"),
    "RNNsearch": ("model=rnnsearch", *RECURRENT),
    "GRU, fixed vector": ("model=rnn", *RECURRENT),
    "LSTM, fixed vector": ("model=rnn", "model.cell=lstm", *RECURRENT),
}


def contrast(job: Job) -> dict[str, float]:
    """Phenomenon → accuracy on the corpus' own sets; measured once."""
    path = job.folder / "contrastive.json"
    if not path.exists():
        command = [sys.executable, str(ROOT / "scripts" / "contrast.py"), f"run={job.folder}", "device=cpu"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {one["phenomenon"]: one["value"] for one in content["accuracy"]}


def pronouns(accuracy: dict[str, float]) -> float:
    """Of both orders of antecedents together: they are equally many."""
    return statistics.mean(value for name, value in accuracy.items() if name.startswith("it"))


def main() -> None:
    options = arguments(str(__doc__))
    jobs = [Job(label, seed, made, "mechanisms") for seed in options.seeds for label, made in MODELS.items()]
    train_all(jobs, options.jobs)
    bleu, accuracy = by_label(jobs, test_bleu), by_label(jobs, contrast)
    rows = [
        (
            label,
            spread(bleu[label]),
            spread(pronouns(one) for one in accuracy[label]),
            spread(one["homograph"] for one in accuracy[label]),
        )
        for label in MODELS
    ]
    header = ("attention or model", "BLEU, test", '"it", % right', "homographs, % right")
    text = f"Pocket corpus, en→fr; seeds {', '.join(map(str, options.seeds))}, mean ± sd; guessing gets 50 % right.\n\n"
    report("mechanisms", text + markdown(header, rows), {"bleu": bleu, "accuracy": accuracy})


if __name__ == "__main__":
    main()
