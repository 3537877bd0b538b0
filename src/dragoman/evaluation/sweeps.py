"""What the runs of a sweep scored, as one table: mean and deviation over the seeds of whatever else was swept."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.evaluation.scores import Score
from dragoman.evaluation.tables import markdown
from dragoman.files import write_json, write_text

SEED = "seed"
TABLE, DATA = "sweep.md", "sweep.json"


class SweptRun(NamedTuple):
    """A run with the keys that made it another than its neighbours; its scores, or why it has none."""

    swept: dict[str, str]
    scores: list[Score] | None
    error: str | None

    @property
    def name(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.swept.items())


class Mean(NamedTuple):
    """Over the runs that were scored. No mean of scores with different signatures, no deviation of a single one."""

    name: str
    values: list[float]
    signatures: list[str]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if len(self.signatures) == 1 else None

    @property
    def deviation(self) -> float | None:
        """That of a sample: its square is the unbiased estimate, with n - 1 in the denominator."""
        return statistics.stdev(self.values) if self.mean is not None and len(self.values) > 1 else None

    def __str__(self) -> str:
        if self.mean is None:
            return "signatures differ" if self.values else "–"
        return f"{self.mean:.2f}" + (f" ± {self.deviation:.2f}" if self.deviation is not None else "")


class Row(NamedTuple):
    """The runs that differ in nothing but their seed."""

    swept: dict[str, str]
    runs: list[SweptRun]

    @property
    def scored(self) -> list[list[Score]]:
        return [run.scores for run in self.runs if run.scores is not None]

    def mean(self, name: str) -> Mean:
        """Of the score of that name."""
        scores = [score for scores in self.scored for score in scores if score.name == name]
        return Mean(name, [score.value for score in scores], distinct(score.signature for score in scores))


class Sweep:
    """The runs of a sweep, in their order; `Sweep(runs)`."""

    def __init__(self, runs: Sequence[SweptRun]) -> None:
        rows: dict[tuple[tuple[str, str], ...], Row] = {}
        for run in runs:
            swept = {key: value for key, value in run.swept.items() if key != SEED}
            rows.setdefault(tuple(swept.items()), Row(swept, [])).runs.append(run)
        self.rows = list(rows.values())
        self.failed = [run for run in runs if run.error is not None]
        self.names = distinct(score.name for row in self.rows for scores in row.scored for score in scores)

    def table(self) -> list[str]:
        """Markdown; below it what the numbers are, and which runs failed and why."""
        keys = list(self.rows[0].swept)
        lines = []
        for row in self.rows:
            done, count = len(row.scored), len(row.runs)
            runs = str(count) if done == count else f"{done} of {count}"
            lines.append([*(row.swept[key] for key in keys), runs, *(str(row.mean(name)) for name in self.names)])
        return [*markdown([*keys, "runs", *self.names], lines), "", *self.notes()]

    def notes(self) -> list[str]:
        """One paragraph each."""
        notes = []
        if any(row.mean(name).deviation is not None for row in self.rows for name in self.names):
            notes.append("Mean ± standard deviation over seeds.")
        for name in self.names:
            signatures = distinct(signature for row in self.rows for signature in row.mean(name).signatures)
            if len(signatures) == 1:
                notes.append(f"{name}: `{signatures[0]}`")
            else:
                told = " and ".join(f"`{signature}`" for signature in signatures)
                notes.append(f"{name} of runs with different signatures must not be compared: {told}.")
        notes += [f"Failed: {run.name or 'the run'}: {run.error}" for run in self.failed]
        return [line for note in notes for line in (note, "")][:-1]

    def content(self) -> dict[str, Any]:
        """The same for programs, with the value of each run."""
        rows = [
            {
                "swept": row.swept,
                "runs": [{"swept": r.swept, "scores": [score._asdict() for score in r.scores or ()]} for r in row.runs],
                "scores": [
                    one._asdict() | {"mean": one.mean, "deviation": one.deviation} for one in map(row.mean, self.names)
                ],
            }
            for row in self.rows
        ]
        return {"rows": rows, "failed": [{"swept": run.swept, "error": run.error} for run in self.failed]}

    def write(self, folder: Path) -> None:
        """Table and content, each whole or not at all."""
        write_text(folder / TABLE, "\n".join(self.table()) + "\n")
        write_json(folder / DATA, self.content())


def distinct(items: Iterable[str]) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(items))
