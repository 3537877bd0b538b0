"""JoeyNMT: its own model and search with Dragoman's weights under its names; ids are what they are."""

import importlib.metadata
import re
from types import SimpleNamespace
from typing import Any

import torch
from job import BOS, EOS, PAD, read_job
from joeynmt.model import Model, build_model
from joeynmt.search import search
from stopwatch import Rows, answer, in_batches, limit
from torch import Tensor

NAMES = [
    (r"^source\.table", "src_embed.lut"),
    (r"^target\.table", "trg_embed.lut"),
    (r"^output", "decoder.output_layer"),
    (r"^(en|de)coder_norm", r"\1coder.layer_norm"),
    (r"^(en|de)coder\.(\d)", r"\1coder.layers.\2"),
    (r"_attention\.(query|key|value)", lambda found: f"_attention.{found[1][0]}_layer"),
    (r"_attention\.output", "_attention.output_layer"),
    (r"(^encoder.*)self_attention", r"\1src_src_att"),
    (r"(^decoder.*)self_attention", r"\1trg_trg_att"),
    (r"cross_attention", "src_trg_att"),
    (r"(^encoder.*)around_self\.norm", r"\1layer_norm"),
    (r"(^decoder.*)around_self\.norm", r"\1x_layer_norm"),
    (r"around_cross\.norm", "dec_layer_norm"),
    (r"around_feed_forward\.norm", "feed_forward.layer_norm"),
    (r"expand", "pwff_layer.0"),
    (r"contract", "pwff_layer.3"),
]  # Dragoman's and JoeyNMT's, one after the other


class Vocabulary:
    """As much of one as a model asks for."""

    pad_index, bos_index, eos_index, unk_index, sep_index = PAD, BOS, EOS, None, None
    specials: tuple[str, ...] = ()
    lang_tags: tuple[str, ...] = ()

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in weights.items():
        parts = dict(zip(("key", "value"), tensor.chunk(2), strict=True)) if "key_value" in name else {"": tensor}
        for part, value in parts.items():
            theirs = name.replace("key_value", part)
            for ours, other in NAMES:
                theirs = re.sub(ours, other, theirs)
            found[theirs] = value
    return found


def configuration(model: dict[str, Any]) -> dict[str, Any]:
    def side(name: str) -> dict[str, Any]:
        width = {"hidden_size": model["dim"], "ff_size": model["feed_forward_dim"], "num_heads": model["num_heads"]}
        rest = {"num_layers": model[f"{name}_layers"], "layer_norm": model["norm"]}
        return {"type": "transformer", "embeddings": {"embedding_dim": model["dim"], "scale": True}, **width, **rest}

    same = model["tied_embeddings"] == "all"
    return {"encoder": side("encoder"), "decoder": side("decoder"), "tied_embeddings": same, "tied_softmax": same}


def load(job: SimpleNamespace) -> Model:
    vocabulary = Vocabulary(job.model["target_vocab_size"])
    model = build_model(configuration(job.model), vocabulary, vocabulary)
    weights = renamed(torch.load(job.weights, weights_only=True))
    places = {name: tensor for name, tensor in model.state_dict().items() if name.endswith(".pe")}
    model.load_state_dict(weights | places)
    for part in model.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = 1e-5  # with which they were trained
    return model.eval()


def main() -> None:
    job = read_job()
    model = load(job)

    def translate(rows: Rows, beam: int) -> Rows:
        tensors = [torch.tensor([*row, EOS]) for row in rows]
        src_BS = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)
        lengths_B = torch.tensor([len(row) for row in tensors])
        batch = SimpleNamespace(src=src_BS, src_mask=(src_BS != PAD)[:, None], src_length=lengths_B, has_trg=False)
        written, _, _ = search(model, batch, max_output_length=limit(job, rows), beam_size=beam, beam_alpha=1.0)
        return [ended(row.tolist()) for row in written]

    torch.set_num_threads(job.threads)
    answer(job, importlib.metadata.version("joeynmt"), in_batches(translate, job.batch), translate)


def ended(row: list[int]) -> list[int]:
    """What stands before EOS, or before the padding of a search that was cut short."""
    return row[: next((place for place, id in enumerate(row) if id in (EOS, PAD)), len(row))]


if __name__ == "__main__":
    main()
