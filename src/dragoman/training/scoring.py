"""BLEU on real text while training: the model translates the validation split at every validation."""

import lightning as L

from dragoman.evaluation.scores import bleu
from dragoman.translator import Translator


class ScoreTranslations(L.Callback):
    """Gives the other callbacks `bleu`, sacreBLEU's default, of the translations of `source` against `reference`."""

    def __init__(self, translator: Translator, source: list[str], reference: list[str]) -> None:
        self.translator = translator
        self.source = source
        self.reference = reference

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = bleu(self.translator(self.source), self.reference)
        pl_module.log("bleu", value, logger=False, rank_zero_only=True)
