"""`nn.Transformer` in the loop that everybody writes: batches of like lengths, fused AdamW, autocast for bf16.

With `job.same` it begins with the weights and trains on the batches that `dragoman_run.py` has written there.
Shapes: B sentences, S source positions, T target positions, D model width, V vocabulary.
"""

import random
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace

import torch
from job import BOS, EOS, PAD, Clock, read_ids, read_job
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

Pair = tuple[Tensor, Tensor]


class Plain(nn.Module):
    """Vaswani et al. 2017 with one table for both sides and the output; dropout after each sublayer alone."""

    def __init__(self, model: dict) -> None:
        super().__init__()
        D, rest = model["dim"], {"dropout": model["dropout"], "batch_first": True}
        sizes = (D, model["num_heads"], model["feed_forward_dim"])
        encoder, decoder = nn.TransformerEncoderLayer(*sizes, **rest), nn.TransformerDecoderLayer(*sizes, **rest)
        for layer in (encoder, decoder):
            layer.dropout.p = layer.self_attn.dropout = 0.0
        decoder.multihead_attn.dropout = 0.0
        self.transformer = nn.Transformer(
            D,
            model["num_heads"],
            custom_encoder=nn.TransformerEncoder(encoder, model["encoder_layers"], enable_nested_tensor=False),
            custom_decoder=nn.TransformerDecoder(decoder, model["decoder_layers"]),
            batch_first=True,
        )
        self.table = nn.Embedding(model["target_vocab_size"], D)
        nn.init.normal_(self.table.weight, std=D**-0.5)
        self.dropout = nn.Dropout(model["dropout"])
        angle = torch.arange(model["max_length"])[:, None] / 10000 ** (torch.arange(0, D, 2) / D)
        self.register_buffer("places", torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1), persistent=False)

    def embed(self, ids_BT: Tensor) -> Tensor:
        return self.dropout(self.table(ids_BT) * self.table.embedding_dim**0.5 + self.places[: ids_BT.shape[1]])

    def forward(self, src_BS: Tensor, tgt_BT: Tensor) -> Tensor:
        padding = src_BS == PAD
        x_BTD = self.transformer(
            self.embed(src_BS),
            self.embed(tgt_BT),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(tgt_BT.shape[1], tgt_BT.device),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return F.linear(x_BTD, self.table.weight)

    def take_over(self, weights: dict[str, Tensor]) -> None:
        """Those of Dragoman's Transformer."""
        ours = {"table.weight": weights["source.table.weight"]}
        norms = {
            "encoder": {"norm1": "around_self", "norm2": "around_feed_forward"},
            "decoder": {"norm1": "around_self", "norm2": "around_cross", "norm3": "around_feed_forward"},
        }
        attentions = {"encoder": {"self_attn": "self_attention"}}
        attentions["decoder"] = attentions["encoder"] | {"multihead_attn": "cross_attention"}
        for side in norms:
            for number in range(len(getattr(self.transformer, side).layers)):
                here, there = f"transformer.{side}.layers.{number}", f"{side}.{number}"
                linears = {"linear1": "feed_forward.expand", "linear2": "feed_forward.contract"}
                linears |= {name: f"{other}.norm" for name, other in norms[side].items()}
                linears |= {f"{name}.out_proj": f"{other}.output" for name, other in attentions[side].items()}
                for kind in ("weight", "bias"):
                    for name, other in linears.items():
                        ours[f"{here}.{name}.{kind}"] = weights[f"{there}.{other}.{kind}"]
                    for name, other in attentions[side].items():
                        parts = [weights[f"{there}.{other}.{part}.{kind}"] for part in ("query", "key_value")]
                        ours[f"{here}.{name}.in_proj_{kind}"] = torch.cat(parts)
        self.load_state_dict(ours)


def bucketed(job: SimpleNamespace) -> Iterator[Pair]:
    """Without end: sentences sorted by length, cut where the longest of them fill the budget, batches shuffled."""
    pairs = list(zip(read_ids(job, "source"), read_ids(job, "target"), strict=True))
    dice = random.Random(job.seed)
    while True:
        dice.shuffle(pairs)
        batches: list[list] = [[]]
        for pair in sorted(pairs, key=lambda pair: (max(map(len, pair)), len(pair[0]))):
            if (len(batches[-1]) + 1) * (max(map(len, pair)) + 1) > job.batch_tokens:
                batches.append([])
            batches[-1].append(pair)
        dice.shuffle(batches)
        for batch in batches:
            sources, targets = zip(*batch, strict=True)
            yield padded([[*ids, EOS] for ids in sources]), padded([[BOS, *ids, EOS] for ids in targets])


def padded(rows: list[list[int]]) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


def main() -> None:
    job, clock = read_job(), Clock()
    torch.manual_seed(job.seed)
    model, recipe = Plain(job.model).train(), job.recipe
    batches = bucketed(job)
    if job.same:
        same = torch.load(job.same)
        model.take_over(same["weights"])
        batches = iter(same["batches"])
    betas, rate, warm_up = tuple(recipe["betas"]), recipe["lr"], recipe["warmup_steps"]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=betas, eps=recipe["eps"], weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, (warm_up / (step + 1)) ** 0.5)
    )
    for src_BS, tgt_BT in islice(batches, job.steps):
        labels = tgt_BT[:, 1:].flatten()
        with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
            logits_BTV = model(src_BS, tgt_BT[:, :-1])
            smoothing = recipe["label_smoothing"]
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), labels, ignore_index=PAD, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        schedule.step()
        clock.step(int((labels != PAD).sum()), loss.item())
    clock.answer(job, torch.__version__)


if __name__ == "__main__":
    main()
