"""MarianMT from scratch by Hugging Face's Seq2SeqTrainer, sentences of like length together."""

from typing import Any

import torch
import transformers
from job import BOS, EOS, PAD, Clock, read_ids, read_job
from torch import Tensor
from transformers import MarianConfig, MarianMTModel, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

IGNORED = -100


class Pairs(torch.utils.data.Dataset):
    """As MarianTokenizer gives them: EOS behind, no BOS; the model shifts the labels itself."""

    def __init__(self, sources: list[list[int]], targets: list[list[int]]) -> None:
        self.pairs = [
            {"input_ids": [*source, EOS], "labels": [*target, EOS]}
            for source, target in zip(sources, targets, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        return self.pairs[number]


class Timed(Seq2SeqTrainer):
    """Keeps what a step was made of, for the clock."""

    tokens, loss = 0, 0.0

    def training_step(self, model: Any, inputs: dict[str, Tensor], *rest: Any, **others: Any) -> Tensor:
        self.tokens = int((inputs["labels"] != IGNORED).sum())
        loss = super().training_step(model, inputs, *rest, **others)
        self.loss = float(loss)
        return loss


class Tick(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.trainer: Timed | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.clock.step(self.trainer.tokens, self.trainer.loss)


def marian(model: dict) -> MarianMTModel:
    sizes = {}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": model[f"{side}_layers"], f"{side}_attention_heads": model["num_heads"]}
        sizes[f"{side}_ffn_dim"] = model["feed_forward_dim"]
    return MarianMTModel(
        MarianConfig(
            vocab_size=model["target_vocab_size"],
            d_model=model["dim"],
            max_position_embeddings=model["max_length"],
            dropout=model["dropout"],
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            init_std=model["dim"] ** -0.5,
            pad_token_id=PAD,
            eos_token_id=EOS,
            bos_token_id=BOS,
            decoder_start_token_id=BOS,
            forced_eos_token_id=EOS,
            **sizes,
        )
    )


def padded(rows: list[list[int]], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def main() -> None:
    job, clock = read_job(), Clock()
    torch.manual_seed(job.seed)
    model, recipe = marian(job.model), job.recipe

    def collate(pairs: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        """As DataCollatorForSeq2Seq, without a tokenizer."""
        ids, labels = (padded([pair[key] for pair in pairs], v) for key, v in (("input_ids", PAD), ("labels", IGNORED)))
        shifted = model.prepare_decoder_input_ids_from_labels(labels)
        return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": labels, "decoder_input_ids": shifted}

    arguments = Seq2SeqTrainingArguments(
        output_dir=job.scratch,
        use_cpu=True,
        bf16=job.precision == "bf16",
        max_steps=job.steps,
        per_device_train_batch_size=job.sentences,
        train_sampling_strategy="group_by_length",
        optim="adamw_torch_fused",
        learning_rate=recipe["lr"],
        lr_scheduler_type="inverse_sqrt",
        warmup_steps=recipe["warmup_steps"],
        adam_beta1=recipe["betas"][0],
        adam_beta2=recipe["betas"][1],
        adam_epsilon=recipe["eps"],
        weight_decay=0.0,
        max_grad_norm=recipe["clip"],
        label_smoothing_factor=recipe["label_smoothing"],
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    tick = Tick(clock)
    data = Pairs(read_ids(job, "source"), read_ids(job, "target"))
    tick.trainer = Timed(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[tick])
    tick.trainer.train()
    clock.answer(job, transformers.__version__)


if __name__ == "__main__":
    main()
