"""Lines → lines by transformers alone, as whoever is given an exported folder would do it."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from dragoman.batching import in_batches
from dragoman.search import Search


class Generate:
    """`AutoTokenizer`, `generate` as the folder is configured, decode; a line without words becomes an empty line.

    Only sentences of one length share a batch, so that each has the length limit that a `Translator` gives it.
    """

    def __init__(self, folder: Path, search: Search, *, device: str, batch_tokens: int) -> None:
        self.model = AutoModelForSeq2SeqLM.from_pretrained(folder).to(device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")  # never used by the tokenizer
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.search = search
        self.batch_tokens = batch_tokens

    @torch.inference_mode()
    def __call__(self, lines: Iterable[str]) -> list[str]:
        """The best translation of each line."""
        given = list(lines)
        found = [""] * len(given)
        worded = [number for number, line in enumerate(given) if line.strip()]
        ids = [self.tokenizer(given[number])["input_ids"] for number in worded]
        for length in sorted({len(one) for one in ids}):
            same = [one for one, row in enumerate(ids) if len(row) == length]
            for batch in in_batches([length] * len(same), self.batch_tokens):
                texts = self._generated([ids[same[row]] for row in batch])
                for row, text in zip(batch, texts, strict=True):
                    found[worded[same[row]]] = text
        return found

    def _generated(self, rows: list[list[int]]) -> list[str]:
        src_BS = torch.tensor(rows, device=self.model.device)
        limit = int(src_BS.shape[1] * self.search.length_ratio + self.search.length_extra)
        limit = min(limit, self.model.config.max_position_embeddings)
        written = self.model.generate(
            src_BS,
            attention_mask=torch.ones_like(src_BS),
            max_new_tokens=limit,
            max_length=None,
            num_return_sequences=1,
        )
        return self.tokenizer.batch_decode(written, skip_special_tokens=True)
