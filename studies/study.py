"""What the studies share: train many runs, several at a time, and say what came of them.

A study is a command: `python studies/NAME.py`. It trains what is not trained yet (an interrupted one goes on where it
was), measures, and writes NAME.md, NAME.json and its plots into docs/studies/.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dragoman.errors import InputError
from dragoman.evaluation import tables
from dragoman.machine import processor
from dragoman.models import Seq2Seq
from dragoman.run import Run
from dragoman.training.loss import smoothed_loss
from dragoman.training.precision import best_precision
from dragoman.training.provenance import PROVENANCE

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "checkpoints" / "studies"
RESULTS = ROOT / "docs" / "studies"
RECURRENT = ("model.dim=192", "model.dropout=0", "optimizer.lr=3e-3")  # what the pocket recipe needs for them
FAST = "optimizer.lr=5e-3"  # of all studies' Transformers: budgets are short
SHORT = ("max_steps=1200", "validate_every=1200", FAST)  # of the pocket recipe: three to four CPU minutes


class Job(NamedTuple):
    """One run: what is studied, its seed, and the overrides of `scripts/train.py` that make it."""

    label: str
    seed: int
    overrides: tuple[str, ...]
    study: str

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        return RUNS / self.study / self.label.replace(" ", "_").replace(",", "") / f"seed={self.seed}"


def jobs_of(study: str, models: Mapping[str, tuple[str, ...]], seeds: Sequence[int], *shared: str) -> list[Job]:
    """Every model with every seed: label → its overrides, behind those that all share."""
    return [Job(label, seed, (*shared, *made), study) for seed in seeds for label, made in models.items()]


def arguments(
    description: str, own: argparse.ArgumentParser | None = None, seeds: Sequence[int] = (1, 2, 3)
) -> argparse.Namespace:
    """The options of every study, beside those of its own."""
    parser = argparse.ArgumentParser(
        description=description, parents=[own] if own else [], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs that are trained at the same time, a thread each")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    return parser.parse_args()


def begin(study: Callable[[], None]) -> None:
    """Run a study's `main`; what was given wrongly, or a script that failed, ends it with a sentence."""
    try:
        study()
    except (InputError, OSError) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the script has said why
    except KeyboardInterrupt:
        sys.exit(130)


def train_all(jobs: Sequence[Job], at_once: int, finished: Callable[[Job], None] = lambda job: None) -> None:
    """Train every run to its end and tell `finished`; one that fails stops the study when the others are done.

    Of a run that is there `scripts/train.py` says whether it is finished, goes on, or is another one.
    """
    modules = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # for `studies.ema`
    one_at_a_time = Lock()

    def train(job: Job) -> bool:
        job.folder.mkdir(parents=True, exist_ok=True)
        own = (f"name={job.label}", f"run_dir={job.folder}", f"seed={job.seed}")
        command = script("train", *own, *job.overrides)
        variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": modules}
        path = job.folder / "train.log"
        with open(path, "a", encoding="utf-8") as log:
            status = subprocess.run(command, env=variables, stdout=log, stderr=log).returncode
        reason = (path.read_text("utf-8").splitlines() or [""])[-1]
        print(f"{job}: {'done' if status == 0 else f'failed: {reason} ({path})'}", file=sys.stderr)
        if status == 0:
            with one_at_a_time:
                finished(job)
        return status == 0

    with ThreadPoolExecutor(at_once) as pool:
        failed = [str(job) for job, done in zip(jobs, pool.map(train, jobs), strict=True) if not done]
    if failed:
        sys.exit(f"These runs did not finish: {'; '.join(failed)}.")


def script(name: str, *arguments: str) -> list[str]:
    """The command that runs one of `scripts/`."""
    return [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]


def synthesise(teacher: Job, source: Path, output: Path, *how: str) -> None:
    """Pairs that a run makes of a text, on one thread."""
    command = script("synthesise", f"run={teacher.folder}", f"source={source}", f"output={output}", *how)
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def peak_memory(run: Path) -> int:
    """The most bytes that one of its processes held."""
    made = json.loads((run / PROVENANCE).read_text("utf-8"))
    return max(start["peak_bytes"] for start in made["starts"])


def cost(run: Path) -> dict[str, Any]:
    """What its training took, and where its last start was: steps, minutes, peak GiB, commit, machine."""
    made = json.loads((run / PROVENANCE).read_text("utf-8"))
    start = made["starts"][-1]
    commit, _, changed = (start["commit"] or "–").partition("-")
    where = f"{start['processor']}, {start['threads']} threads, torch {start['packages']['torch']}"
    return {
        "steps": made["steps"],
        "minutes": round(made["seconds"] / 60),
        "peak GiB": round(peak_memory(run) / 2**30, 2),
        "commit": commit[:10] + (changed and f"-{changed}"),
        "machine": f"{where}, {start['date'].partition('T')[0]}",
    }


def evaluate(job: Job) -> Path:
    """The scores.json of `scripts/evaluate.py` on the run's own test set; measured once."""
    path = job.folder / "evaluated" / "scores.json"
    if not path.exists():
        command = script("evaluate", f"run={job.folder}", "device=cpu", f"output={path.parent}")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def test_bleu(job: Job) -> float:
    """BLEU of the run's test set."""
    scores = json.loads((job.folder / "scores.json").read_text("utf-8"))["scores"]
    return next(one["value"] for one in scores if one["name"] == "BLEU")


def configured(overrides: Sequence[str]) -> dict[str, Any]:
    """What `scripts/train.py` makes of them."""
    command = script("train", *overrides, "--cfg", "job", "--resolve")
    composed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = yaml.safe_load(composed)
    return found


def step_seconds(models: dict[str, Seq2Seq], sentences: int, length: int, rounds: int) -> list[dict[str, float]]:
    """Label → seconds of a training step, on one thread: alternating rounds, of which the first is left out."""
    torch.set_num_threads(1)
    ids = torch.randint(4, 1000, (sentences, length))
    optimizers = {label: torch.optim.AdamW(model.train().parameters(), lr=0.0) for label, model in models.items()}

    def seconds(label: str) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=best_precision("auto", "cpu") == "bf16-mixed"):
            loss = smoothed_loss(models[label](ids, ids).flatten(0, 1), ids.flatten(), 0.1)
        optimizers[label].zero_grad()
        loss.backward()
        optimizers[label].step()
        return time.perf_counter() - began

    return [{label: seconds(label) for label in models} for _ in range(rounds + 1)][1:]


def trained(jobs: Sequence[Job]) -> dict[str, Seq2Seq]:
    """Label → the model of its first seed."""
    return {job.label: Run(job.folder).model() for job in jobs if job.seed == jobs[0].seed}


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Mean ± standard deviation."""
    values = list(values)
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def by_label(jobs: Sequence[Job], measure: Callable[[Job], Any]) -> dict[str, list[Any]]:
    """Label → what was measured of its runs, one for each seed."""
    found: dict[str, list[Any]] = {}
    for job in jobs:
        found.setdefault(job.label, []).append(measure(job))
    return found


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    return "\n".join(tables.markdown(header, [[str(cell) for cell in row] for row in rows])) + "\n"


@contextmanager
def drawn(name: str, panels: int = 1, rows: int = 1) -> Iterator[list[Axes]]:
    """Axes side by side in so many rows, which become NAME.png when they are filled."""
    columns = panels // rows
    figure = Figure(figsize=(5 * columns + 1, 4.2 * rows), layout="constrained")
    yield list(figure.subplots(rows, columns, squeeze=False).flat)
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=130, metadata={"Software": None})


def machine() -> str:
    """Processor, cores, torch, date."""
    return f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {date.today()}"


def recorded(name: str) -> Any:
    """The numbers of NAME.json, as an earlier start left them; nothing, {}, if there was none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def report(name: str, text: str, data: Any, where: str | None = None) -> None:
    """NAME.md with the command and the machine, this one if no other is named, NAME.json with the numbers."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    head = f"`python studies/{' '.join([f'{name}.py', *sys.argv[1:]])}` on {where or machine()}.\n\n"
    (RESULTS / f"{name}.md").write_text(head + text, "utf-8")
    (RESULTS / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(head + text)
