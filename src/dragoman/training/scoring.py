"""BLEU on real text while training: the model translates the validation split at every validation."""

import logging
from itertools import zip_longest

import lightning as L

from dragoman.evaluation.scores import bleu
from dragoman.training.compiled import uncompiled
from dragoman.training.processes import gathered
from dragoman.training.spread import is_spread
from dragoman.translator import Translator

log = logging.getLogger("dragoman")


class ScoreTranslations(L.Callback):
    """Gives the other callbacks `bleu` of the translations of `source` against `reference`, which is in `language`.

    Each process translates its share, or all where the model is spread over them. Not a number where that fails: a
    translation must not end a week of training.
    """

    def __init__(self, translator: Translator, source: list[str], reference: list[str], language: str | None) -> None:
        self.translator = translator
        self.source = source
        self.reference = reference
        self.language = language

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        rank, world = (0, 1) if is_spread(self.translator.model) else (trainer.global_rank, trainer.world_size)
        shares = gathered(trainer, self._translate(self.source[rank::world]))[:world]
        pl_module.log("bleu", self._bleu(shares), logger=False)

    def of_all(self) -> float:
        """BLEU of all sentences, translated in this process."""
        return self._bleu([self._translate(self.source)])

    def _bleu(self, shares: list[list[str] | None]) -> float:
        whole = [share for share in shares if share is not None]
        return bleu(in_turn(whole), self.reference, self.language) if len(whole) == len(shares) else float("nan")

    def _translate(self, source: list[str]) -> list[str] | None:
        try:
            with uncompiled():
                return self.translator(source)
        except Exception:
            log.warning("translating the validation split has failed; training goes on", exc_info=True)
            return None


def in_turn(shares: list[list[str]]) -> list[str]:
    """Every process' lines where they were before they were shared out."""
    return [line for lines in zip_longest(*shares) for line in lines if line is not None]
