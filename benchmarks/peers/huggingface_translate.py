"""Hugging Face transformers: `generate` with the same weights."""

import torch
import transformers
from job import EOS, PAD, read_job
from stopwatch import Rows, answer, in_batches, limit


def main() -> None:
    job = read_job()
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(job.huggingface).eval()

    @torch.inference_mode()
    def translate(rows: Rows, beam: int) -> Rows:
        tensors = [torch.tensor([*row, EOS]) for row in rows]
        src_BS = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)
        settings = {"num_beams": beam, "max_new_tokens": limit(job, rows), "max_length": None, "length_penalty": 1.0}
        written = model.generate(src_BS, attention_mask=(src_BS != PAD).long(), num_return_sequences=1, **settings)
        return [ended(row[1:]) for row in written.tolist()]

    torch.set_num_threads(job.threads)
    answer(job, transformers.__version__, in_batches(translate, job.batch), translate)


def ended(row: list[int]) -> list[int]:
    """What stands before EOS."""
    return row[: row.index(EOS)] if EOS in row else row


if __name__ == "__main__":
    main()
