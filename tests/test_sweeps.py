"""Sweeps: the table of their results, and the launchers that bring their jobs elsewhere.

The jobs are those of `entry_app/app.py`. SLURM is three pretended commands that run what they are given at once.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.evaluation import scores
from dragoman.evaluation.scores import Score
from dragoman.evaluation.sweeps import Sweep, SweptRun
from scripts_for_tests import TINY, call, done, run, write_corpus

APP = Path(__file__).parent / "entry_app" / "app.py"
SOURCES = Path(__file__).parents[1] / "src"


# --- The table ---


def scored(value: float, signature: str = "nrefs:1|version:2") -> list[Score]:
    return [Score("BLEU", value, value - 1, value + 1, signature), Score("TER", 90 - value, 1, 2, "punct:yes")]


def cells(lines: list[str]) -> list[list[str]]:
    """Those of the Markdown table in the lines, without the rule below its head."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [rows[0], *rows[2:]]


VALUES = {"2": [30.5, 31.25, 29.0], "4": [33.0, 32.0, 32.5]}


def test_rows_are_what_was_swept_but_the_seed_with_mean_and_deviation():
    runs = [
        SweptRun({"seed": str(seed), "model.num_heads": heads}, scored(value), None)
        for seed in range(3)
        for heads, value in ((heads, values[seed]) for heads, values in VALUES.items())
    ]
    sweep = Sweep(runs)
    expected = [["model.num_heads", "runs", "BLEU", "TER"]]
    for heads, values in VALUES.items():
        deviation = (sum((value - sum(values) / 3) ** 2 for value in values) / 2) ** 0.5
        means = sum(values) / 3, 90 - sum(values) / 3
        expected.append([heads, "3", *(f"{mean:.2f} ± {deviation:.2f}" for mean in means)])
    assert cells(sweep.table()) == expected
    content = sweep.content()
    assert [row["scores"][0]["values"] for row in content["rows"]] == list(VALUES.values())
    assert content["rows"][1]["scores"][0]["deviation"] == pytest.approx(statistics.stdev(VALUES["4"]))
    assert json.loads(json.dumps(content)) == content
    assert "BLEU: `nrefs:1|version:2`" in sweep.table()


def test_failed_runs_are_named_and_left_out_of_the_mean():
    runs = [SweptRun({"seed": "1"}, scored(30), None), SweptRun({"seed": "2"}, None, "No space left on device.")]
    sweep = Sweep(runs)
    assert cells(sweep.table()) == [["runs", "BLEU", "TER"], ["1 of 2", "30.00", "60.00"]]
    assert "Failed: seed=2: No space left on device." in sweep.table()
    assert sweep.content()["failed"] == [{"swept": {"seed": "2"}, "error": "No space left on device."}]
    none = Sweep([SweptRun({"seed": "2"}, None, "why")])
    assert cells(none.table()) == [["runs"], ["0 of 1"]]


def test_scores_with_different_signatures_have_no_mean():
    old, new = scored(30, "version:1"), scored(31, "version:2")
    within = Sweep([SweptRun({"seed": "1"}, old, None), SweptRun({"seed": "2"}, new, None)])
    assert cells(within.table())[1] == ["2", "signatures differ", "59.50 ± 0.71"]
    assert within.content()["rows"][0]["scores"][0]["mean"] is None
    between = Sweep([SweptRun({"a|b": "x|y"}, old, None), SweptRun({"a|b": "z"}, new, None)])
    warning = "BLEU of runs with different signatures must not be compared: `version:1` and `version:2`."
    for sweep in (within, between):
        assert warning in sweep.table()
    assert between.table()[2].startswith(r"| x\|y |")


def test_a_sweep_of_trainings_ends_with_its_table_also_when_it_is_started_again(place, monkeypatch):
    """Two of four jobs cannot be trained. The second start trains nothing, nor does one in processes of their own."""
    monkeypatch.setattr(scores, "BOOTSTRAP_SAMPLES", 10)
    write_corpus(place / "data")
    settings = [setting for setting in TINY if not setting.startswith("model.num_heads")]
    short = ["corpus.folder=data", "trainer=debug", "name=it's, [many]", "trainer.max_steps=2", "seed=1,2"]
    command = ["train", "--multirun", *settings, *short]
    folder = place / "checkpoints" / "it's, [many]-debug"
    first = call(*command, "model.num_heads=2,5")
    assert first.status == 1
    table = (folder / "sweep.md").read_text("utf-8")
    assert first.out.endswith(f"\n\n{table}")
    assert [first.out.count(f"\nmodel.num_heads=2,seed={seed}\nBLEU ") for seed in (1, 2)] == [1, 1]
    (head, two, five) = cells(table.splitlines())
    assert head == ["model.num_heads", "runs", "BLEU", "chrF2", "TER"]
    assert (two[:2], five) == (["2", "2"], ["5", "0 of 2", "–", "–", "–"])
    values = [
        json.loads((folder / f"model.num_heads=2,seed={seed}" / "scores.json").read_text())["scores"][1]["value"]
        for seed in (1, 2)
    ]
    assert two[3] == f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert table.count("model: `dim` (64) must be a multiple of `num_heads` (5).") == 2
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}
    assert len(weights) >= 4
    assert call(*command, "model.num_heads=2,5").out == first.out

    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    apart = done(run(*command, "model.num_heads=choice(2)", "hydra/launcher=submitit_local", folder=place))
    assert cells(apart.out.splitlines()) == [head, two]
    assert apart.out.startswith("\n| model.num_heads")  # what the jobs print stands in their logs
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")} == weights


# --- Launchers ---

submitit = pytest.importorskip("submitit", reason="needs the extra `slurm`")

# Runs the tasks of an array at once, with the variables that SLURM gives them.
COMMANDS = {
    "sbatch": """
        cp "$1" sbatch.sh
        export SLURM_ARRAY_JOB_ID=77 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0
        last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
        for task in $(seq 0 $last); do
            SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$((100 + task)) bash "$1" > /dev/null 2>&1 &
        done
        echo "Submitted batch job 77" """,
    "srun": """
        while [[ $1 == --* ]]; do
            [[ $1 == --output || $1 == --error ]] && shift
            shift
        done
        exec "$@" """,
    "sacct": """
        echo "JobID|State|NodeList"
        for task in 0 1 2; do echo "77_$task|RUNNING|here"; done""",
}


def pretend_slurm(folder: Path) -> str:
    """A PATH that begins with those commands."""
    folder.mkdir()
    for name, text in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def launch(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        [sys.executable, str(APP), "--multirun", "hydra.sweep.dir=${run_dir}", *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(SOURCES)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_failed(process: subprocess.CompletedProcess[str], sentence: str) -> None:
    """The second of three; the others have their results."""
    outcomes = json.loads(process.stdout)
    assert [result for _, result, _ in outcomes] == [10, None, 30]
    assert [swept["seed"] for swept, _, _ in outcomes] == ["1", "2", "3"]
    assert outcomes[1][2].startswith(sentence), outcomes
    assert process.returncode == 1
    assert f"seed=2: {sentence}" in process.stderr
    assert process.stderr.endswith("2 of 3 jobs done, 1 failed.\n")


NAME = "it's, [a] {b}=~c $HOME ${x} #e 😀 é"


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("input", "`beam` (0) must be at least 1."),
        ("bug", "KeyError: 'a bug of ours'"),
        ("kill", "The job ended without a result (finished); see "),
    ],
)
def test_jobs_in_processes_of_their_own(tmp_path: Path, how: str, sentence: str) -> None:
    """The literal name arrives and is their folder's; what one job dies of is its own affair."""
    sweep = ["hydra/launcher=submitit_local", "seed=1,2,3", f"fail={how}", "fail_seed=2"]
    process = launch(tmp_path, f"name={NAME}", *sweep)
    assert_one_failed(process, sentence)
    assert process.stderr.count("Traceback") == (how == "bug")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    logs = sorted((tmp_path / "checkpoints" / NAME / ".submitit").glob("*/*_log.out"))
    assert len(logs) == 3
    printed = [json.loads(line) for log in logs for line in log.read_text().splitlines() if line.startswith("{")]
    assert {(one["name"], one["sweep"]) for one in printed} == {(NAME, "seed=1"), (NAME, "seed=3")}


def test_jobs_on_a_pretended_cluster(tmp_path: Path) -> None:
    """Hydra's settings reach sbatch; what the jobs return comes back."""
    settings = ["hydra.launcher.partition=night", "hydra.launcher.timeout_min=90", "hydra.launcher.array_parallelism=2"]
    sweep = ["hydra/launcher=submitit_slurm", *settings, "name=x", "seed=1,2,3", "fail=input", "fail_seed=2"]
    process = launch(tmp_path, *sweep, PATH=pretend_slurm(tmp_path / "bin"))
    assert_one_failed(process, "`beam` (0) must be at least 1.")
    script = (tmp_path / "sbatch.sh").read_text()
    for line in ("--partition=night", "--time=90", "--array=0-2%2", "--job-name=app"):
        assert f"#SBATCH {line}\n" in script


REFUSED = {
    ("submitit_slurm", "name=x"): 'The jobs cannot be submitted (hydra/launcher, hydra.launcher): Could not detect "sr',
    ("submitit_local", "name=50%a"): "hydra.launcher.submitit_folder (checkpoints/50%a/.submitit/%j) must hold no %",
    ("submitit_local", "name=x", "hydra.launcher.nodes=2"): "The jobs cannot be submitted (hydra/launcher, hydra.launc",
    ("submitit_local", "name=x", "hydra.launcher.timeout=2"): 'seed=1: There is no key "hydra.launcher.timeout"',
    ("basic", "name=x", "hydra.launcher._target_=os.system"): "hydra/launcher (os.system) must be basic, submitit_slu",
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_launcher_that_cannot_launch_is_one_sentence(tmp_path: Path, case: tuple[str, ...]) -> None:
    process = launch(tmp_path, f"hydra/launcher={case[0]}", *case[1:], "seed=1,2")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith(REFUSED[case])
    assert process.stderr.count("\n") == 1


def test_a_single_job_can_be_launched_too(tmp_path: Path) -> None:
    process = launch(tmp_path, "hydra/launcher=submitit_local", "name=x", "seed=4")
    assert (process.returncode, json.loads(process.stdout)) == (0, [[{}, 40, None]])
    assert process.stderr.startswith("Job 1 of 1: as given, log ")
