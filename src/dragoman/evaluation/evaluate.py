"""Translate a test set, score it, and leave everything beside each other so that anybody can do it again."""

import json
import time
from pathlib import Path
from typing import Any

from dragoman.evaluation.scores import Score, score
from dragoman.files import write_text
from dragoman.translator import Translator

HYPOTHESES, REFERENCE, SOURCE = "hypotheses.txt", "reference.txt", "source.txt"


def evaluate(
    translator: Translator, source: list[str], reference: list[str], output: Path, facts: dict[str, Any]
) -> list[Score]:
    """Writes source, hypotheses and reference, then scores.json with `facts` beside the scores, into `output`."""
    began = time.perf_counter()
    hypotheses = translator(source)
    seconds = time.perf_counter() - began
    scores = score(hypotheses, reference)
    for name, lines in ((SOURCE, source), (HYPOTHESES, hypotheses), (REFERENCE, reference)):
        write_text(output / name, "".join(f"{line}\n" for line in lines))
    content = {
        "scores": [one._asdict() for one in scores],
        "sentences": len(source),
        "seconds": round(seconds, 1),
        **facts,
    }
    write_text(output / "scores.json", json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    return scores
