"""JoeyNMT: its own data, batches, model and loop; ids are its words.

The dropouts that no other contender has, of attention and inside the feed-forward networks, are set to zero. For bf16
it is given the autocast that it has on GPUs.
"""

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from job import Clock, read_job
from joeynmt.config import parse_global_args, set_validation_args
from joeynmt.prediction import prepare
from joeynmt.training import TrainManager
from joeynmt.transformer_layers import MultiHeadedAttention, PositionwiseFeedForward

SPECIAL = {"unk": 0, "pad": 1, "bos": 2, "eos": 3}  # where JoeyNMT wants them; other ids stay what they are


class Timed(TrainManager):
    """A step ends where the next one begins: the update stands between them, in the middle of a long method."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        super().__init__(**settings)
        self.clock = clock
        self.before: tuple[int, float] | None = None

    def _train_step(self, batch: Any) -> tuple[float, int]:
        self.end_step()
        tokens = int(batch.ntokens)
        loss, correct = super()._train_step(batch)
        self.before = (tokens, loss)
        return loss, correct

    def end_step(self) -> None:
        if self.before:
            self.clock.step(*self.before)
            self.before = None

    def _save_checkpoint(self, new_best: bool, score: float) -> None:
        """Called at the end alone."""
        self.end_step()


def configuration(job: SimpleNamespace) -> dict[str, Any]:
    model, recipe, data = job.model, job.recipe, Path(job.data)
    vocabulary = data / "joey.vocabulary"
    vocabulary.write_text("\n".join(map(str, range(len(SPECIAL), model["target_vocab_size"]))) + "\n")

    def side(name: str) -> dict[str, Any]:
        return {"lang": name, "level": "word", "lowercase": False, "voc_file": str(vocabulary)}

    def layers(name: str) -> dict[str, Any]:
        width = {"hidden_size": model["dim"], "ff_size": model["feed_forward_dim"], "num_heads": model["num_heads"]}
        embeddings = {"embedding_dim": model["dim"], "scale": True, "dropout": model["dropout"]}
        rest = {"num_layers": model[f"{name}_layers"], "dropout": model["dropout"], "layer_norm": model["norm"]}
        return {"type": "transformer", "embeddings": embeddings, **width, **rest}

    symbols = {f"{name}_id": id for name, id in SPECIAL.items()}
    symbols |= {f"{name}_token": f"<{name}>" for name in SPECIAL}
    ids = str(data / "ids")
    return {
        "name": "joey",
        "model_dir": job.scratch,
        "use_cuda": False,
        "random_seed": job.seed,
        "data": {"train": ids, "dev": ids, "src": side("source"), "trg": side("target"), "special_symbols": symbols},
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": layers("encoder"),
            "decoder": layers("decoder"),
        },
        "training": {
            "optimizer": "adamw",
            "adam_betas": recipe["betas"],
            "learning_rate": recipe["lr"],
            "learning_rate_min": 0.0,
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": recipe["warmup_steps"],
            "clip_grad_norm": recipe["clip"],
            "label_smoothing": recipe["label_smoothing"],
            "normalization": "tokens",
            "batch_size": job.sentences,
            "batch_type": "sentence",
            "updates": job.steps,
            "epochs": job.steps,
            "validation_freq": 1_000_000,
            "shuffle": True,
        },
        "testing": {},
    }


def main() -> None:
    job, clock = read_job(), Clock()
    torch.manual_seed(job.seed)
    arguments = parse_global_args(configuration(job), mode="train")
    model, train, validation, _ = prepare(arguments, rank=0, mode="train")
    for part in model.modules():
        if isinstance(part, MultiHeadedAttention):
            part.dropout.p = 0.0
        elif isinstance(part, PositionwiseFeedForward):
            next(layer for layer in part.pwff_layer if isinstance(layer, torch.nn.Dropout)).p = 0.0
    autocast = {"device_type": "cpu", "enabled": job.precision == "bf16", "dtype": torch.bfloat16}
    manager = Timed(
        clock,
        model=model,
        model_dir=arguments.model_dir,
        device=arguments.device,
        rank=0,
        autocast=autocast,
        seed=job.seed,
        train_args=arguments.train,
        dev_args=set_validation_args(arguments.test),
    )
    manager.train_and_validate(train_data=train, valid_data=validation)
    clock.answer(job, importlib.metadata.version("joeynmt"))


if __name__ == "__main__":
    main()
