"""Laws of the scripts' wrapper, through real processes: literal values, errors, sweeps, help, clean streams.

The script is `entry_app/app.py`, which prints its configuration as JSON and fails on demand.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

APP = Path(__file__).parent / "entry_app" / "app.py"
SOURCES = Path(__file__).parents[1] / "src"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The app in `folder`, into which Hydra must write nothing."""
    before = sorted(folder.iterdir())
    inherited = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    process = subprocess.run(
        [sys.executable, str(APP), *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(SOURCES), "PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert sorted(folder.iterdir()) == before
    return process


def config(folder: Path, *arguments: str) -> dict[str, Any]:
    """What the app was called with; stdout holds nothing else."""
    process = run(folder, *arguments)
    assert process.returncode == 0, process.stderr
    assert process.stderr == "at work\n"
    return json.loads(process.stdout)


ODD = [
    "it's", '"', "'\"'", "a,b", "a=b", "[a", "]", "[a,b]", "{a: 1}", "}", "(", "f(x)", "choice(1,2)", "~", "~x", "null",
    "true", "007", "1e5", "-0", " ", "  two  spaces  ", "\ttab\t", "$", "${seed}", "${", "$HOME", "%", "%d", "\\",
    "a\\", "\\'", "#", "a #b", "a: b", ":", "*", "!", "!tag", "&a", "|", ">", "@", "`x`", "😀 naïve 東", "",
    "two\nlines", "\n", "???", "_0_", "--multirun", "-m", "+x", "++x=1", "literal_0_", "range(1,3)", "a;b", "/", "./x",
    "C:\\x y", "\x1b[0m",
]  # fmt: skip
SCALARS = ["name", "text", "init", "output", "corpus.folder", "corpus.dataset", "extra"]
LISTS = ["run", "corpus.train", "corpus.validation", "corpus.test", "corpus.train_source", "corpus.test_source"]
MAY_BE_NULL = ["init", "corpus.train", "corpus.validation", "corpus.test"]


def value_of(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree[part]
    return tree


def test_literal_values_arrive_as_they_are(tmp_path: Path) -> None:
    """Every odd string through some key, a different key for each; "[a,b]" of a list key has a rule of its own."""
    keys, cases = [*SCALARS, *LISTS], 0
    for start in range(0, len(ODD), len(keys)):
        given = dict(zip(keys, ODD[start:] + ODD[:start], strict=False))
        given = {key: value for key, value in given.items() if not (key in LISTS and value == "[a,b]")}
        prefixes = {"extra": "+", "text": "++", "run": "++", "init": "+" if start else ""}
        found = config(tmp_path, *(f"{prefixes.get(key, '')}{key}={value}" for key, value in given.items()))
        for key, value in given.items():
            expected = None if value == "null" and key in MAY_BE_NULL else value
            assert value_of(found, key) == expected, key
        assert found["run_dir"] == f"checkpoints/{given['name']}"
        cases += len(given)
    assert cases >= len(ODD)


def test_a_list_of_literals_unless_a_file_has_that_name(tmp_path: Path) -> None:
    (tmp_path / "[a,b]").touch()
    found = config(
        tmp_path,
        "name=[x,y]",
        "run=[it's,${seed},007, a]",
        "corpus.train=[a,b]",
        "corpus.test=[]",
        "corpus.validation=[,]",
    )
    assert found["name"] == "[x,y]"
    assert found["run"] == ["it's", "${seed}", "007", " a"]
    assert found["corpus"]["train"] == "[a,b]"
    assert found["corpus"]["test"] == []
    assert found["corpus"]["validation"] == ["", ""]


def test_a_comma_in_the_name_of_a_file_does_not_split_a_list(tmp_path: Path) -> None:
    for name in ("dim=2,seed=1", "dim=2", "dim=2,seed=2,x"):
        (tmp_path / name).mkdir()
    found = config(tmp_path, "name=x", "run=[dim=2,seed=1,it's,dim=2,seed=3,dim=2,seed=2,x,]")
    assert found["run"] == ["dim=2,seed=1", "it's", "dim=2", "seed=3", "dim=2,seed=2,x", ""]


def test_experiment_swap_and_single_keys_work_together(tmp_path: Path) -> None:
    """A single key beats the swap, the swap beats the experiment, the experiment beats the root."""
    single = "attention@model.cross_attention=window"
    found = config(tmp_path, single, "model.dim=3", "swap=dot", "name=mine", "experiment=small", "trainer=gpu")
    model = found["model"]
    kinds = [model[f"{place}_attention"]["kind"] for place in ("encoder", "decoder", "cross")]
    assert kinds == ["dot", "dot", "window"]
    assert (model["dim"], model["num_heads"], found["name"], found["seed"]) == (3, 2, "mine", 7)
    assert (found["corpus"]["dataset"], found["trainer"]["device"], found["sweep"]) == ("reverse", "gpu", None)


ERRORS = {
    "model.dimm=3": 'There is no key "model.dimm"; did you mean model.dim or model.kind?',
    "dim=3": 'There is no key "dim"; did you mean model.dim?',
    "corpus.foldr=it's": 'There is no key "corpus.foldr"; did you mean corpus.folder?',
    "~sede": 'There is no key "sede"; did you mean seed?',
    "modle=transformer": 'There is no key "modle"; did you mean model?',
    "model=transformr": '"transformr" is not a choice of model (rnnsearch, transformer); did you mean transformer?',
    "experiment=smal": '"smal" is not a choice of experiment (broken, rnn, small); did you mean small?',
    "attention@model.encoder_atention=dot": 'There is no key "attention@model.encoder_atention"; '
    "did you mean attention@model.encoder_attention or attention@model.decoder_attention?",
    "atention@model.cross_attention=dot": 'There is no key "atention@model.cross_attention"; '
    "did you mean attention@model.cross_attention or attention@model.encoder_attention?",
    "attention=dot": 'There is no key "attention"; did you mean attention@model.encoder_attention or '
    "attention@model.decoder_attention or attention@model.cross_attention?",
    "experiment=broken": 'In experiment/broken.yaml: there is no key "attention@model.decoder_atention"; '
    "did you mean attention@model.decoder_attention or attention@model.encoder_attention?",
    "model.dim=[1,": '"model.dim=[1," cannot be read; quote a value with special characters, as in \'KEY="a, [b"\'.',
    "word": '"word" is not of the form KEY=VALUE.',
    "model=null": '"model=null" cannot be used: ~model leaves a group out.',
    "model=3": '"model=3" cannot be used: Config group override must be a string or a list. Got int',
    "seed=1,2": "seed cannot have several values without --multirun, which runs a job for each.",
    "model.dim=${modle.x}": 'The value of "model.dim" cannot be worked out: Interpolation key \'modle.x\' not found.',
    "corpus=own": "Add corpus.folder=VALUE corpus.train=VALUE name=VALUE to the command line.",
    "hydra/launcher=basic": "hydra/launcher is for the jobs of a sweep: add --multirun, also for a single job.",
    "--multirunn": "There is no option --multirunn; --hydra-help lists them.",
    "--config-dir=nowhere": "--config-dir names no folder: nowhere.",
}  # fmt: skip
FULL = "No space left on device. Make room on the disk and give the command again."
FAILURES = {
    "input": (1, "`beam` (0) must be at least 1."),
    "file": (1, "No such file or directory: no/such/file."),
    "disk": (1, FULL),
    "interrupt": (130, "Interrupted."),
}


@pytest.mark.parametrize("argument", ERRORS)
def test_a_wrong_command_line_is_one_sentence(tmp_path: Path, argument: str) -> None:
    process = run(tmp_path, *([] if argument == "corpus=own" else ["name=it's"]), argument)
    assert (process.returncode, process.stdout, process.stderr) == (1, "", ERRORS[argument] + "\n")


@pytest.mark.parametrize("how", FAILURES)
def test_a_failure_of_the_function_is_one_sentence(tmp_path: Path, how: str) -> None:
    status, sentence = FAILURES[how]
    process = run(tmp_path, "name=x", f"fail={how}")
    assert (process.returncode, process.stdout, process.stderr) == (status, "", f"at work\n{sentence}\n")


@pytest.mark.parametrize(("how", "environment"), [("bug", {}), ("input", {"HYDRA_FULL_ERROR": "1"})])
def test_bugs_and_full_errors_keep_their_traceback(tmp_path: Path, how: str, environment: dict[str, str]) -> None:
    process = run(tmp_path, "name=x", f"fail={how}", **environment)
    assert process.returncode == 1
    assert "Traceback" in process.stderr


@pytest.mark.parametrize(
    ("how", "redirection", "status", "said"),
    [
        ("flood", "| head -1", 141, "at work\n"),
        ("flood", "> /dev/full", 1, f"at work\n{FULL}\n"),
        ("null", "> /dev/full", 1, f"at work\n{FULL}\n"),  # noticed by the last flush only
    ],
)
def test_stdout_that_ends_early_is_no_traceback(
    tmp_path: Path, how: str, redirection: str, status: int, said: str
) -> None:
    """stdout is buffered, as it is by default: the interpreter would stumble over the rest once more at exit."""
    command = f'"$0" "$1" name=x fail={how} {redirection}; exit ${{PIPESTATUS[0]}}'
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    environment["PYTHONPATH"] = str(SOURCES)
    process = subprocess.run(
        ["bash", "-c", command, sys.executable, str(APP)], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert (process.returncode, process.stderr) == (status, said)


def test_a_sweep_runs_every_job_and_counts_the_failed(tmp_path: Path) -> None:
    sweep = ["model=transformer,rnnsearch", "--multirun", "seed=1,2", "++model.dim=3", "name=a,b", "fail=input"]
    process = run(tmp_path, *sweep, "fail_seed=2")
    *jobs, outcomes = (json.loads(line) for line in process.stdout.splitlines())
    assert [job["sweep"] for job in jobs] == ["model=transformer,seed=1", "model=rnnsearch,seed=1"]
    failed = "`beam` (0) must be at least 1."
    assert outcomes == [
        [{"model": "transformer", "seed": "1"}, 10, None],
        [{"model": "transformer", "seed": "2"}, None, failed],
        [{"model": "rnnsearch", "seed": "1"}, 10, None],
        [{"model": "rnnsearch", "seed": "2"}, None, failed],
    ]
    assert [(job["model"]["kind"], job["model"]["dim"]) for job in jobs] == [("transformer", 3), ("rnnsearch", 3)]
    assert {job["name"] for job in jobs} == {"a,b"}
    assert process.returncode == 1
    lines = process.stderr.splitlines()
    assert lines[0] == "Job 1 of 4: model=transformer,seed=1"
    assert "model=rnnsearch,seed=2: `beam` (0) must be at least 1." in lines
    assert lines[-1] == "2 of 4 jobs done, 2 failed."


def test_a_bug_in_one_job_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    process = run(tmp_path, "-m", "name=x", "seed=1,2,3", "fail=bug", "fail_seed=2")
    assert process.returncode == 1
    assert process.stderr.count("Traceback") == 1
    assert process.stderr.count("seed=2: KeyError: 'a bug of ours'\n") == 1
    assert process.stderr.splitlines()[-1] == "2 of 3 jobs done, 1 failed."
    outcomes = json.loads(process.stdout.splitlines()[-1])
    assert [result for _, result, _ in outcomes] == [10, None, 30]


def test_ctrl_c_ends_a_sweep(tmp_path: Path) -> None:
    process = run(tmp_path, "-m", "name=x", "seed=1,2,3", "fail=interrupt", "fail_seed=2")
    assert (process.returncode, len(process.stdout.splitlines())) == (130, 1)
    assert process.stderr.splitlines()[-2:] == ["at work", "Interrupted."]


def test_swept_keys_are_safe_as_a_folder_name(tmp_path: Path) -> None:
    process = run(tmp_path, "-m", "name=x", "attention@model.cross_attention=dot,window", "fail='a/b','c d'")
    names = [json.loads(line)["sweep"] for line in process.stdout.splitlines()[:-1]]
    assert process.returncode == 0
    assert len(set(names)) == 4
    for name in names:
        (tmp_path / name).mkdir()
        assert name.startswith("attention@model.cross_attention=")


def test_a_sweep_that_cannot_be_composed_runs_no_job(tmp_path: Path) -> None:
    process = run(tmp_path, "-m", "name=x", "model=transformer,rnnsearch", "model.num_heads=2")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == 'model=rnnsearch: There is no key "model.num_heads" without model=transformer.\n'


def test_help_explains_every_group(tmp_path: Path) -> None:
    process = run(tmp_path, "--help", "model.dim=77")
    assert (process.returncode, process.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in process.stdout.splitlines()]
    for line in (
        "A pretended script that prints its configuration.",
        "corpus=files where the text comes from",
        "rnnsearch Bahdanau et al. 2015",
        "attention@model.cross_attention=fused how the decoder reads the source",
        "window only the nearest words",
        "small a small network with a window",
        "experiment=null a complete recipe",
        "dim: 77",
        "name: ???",
    ):
        assert line in lines


SCRIPTS = APP.parents[2] / "scripts"
TOLD = (
    "seed: 1 # of weights, order and dropout",  # the root
    "sentences: null # how many are translated for BLEU while training; null: all",  # … of a key below another
    "beam: 5 # hypotheses kept",  # a choice's file
    "max_source: 256 # tokens; a longer line is cut at sentence ends and translated in pieces",  # … with a package
    "dim: 128 # model width; a multiple of num_heads",  # the file that a choice builds upon
    "folder: ??? # the folder",  # the list at the head of a file
    "train: train # the stem, or a list of stems: corpus.train=[news,talks]; null: cut off",  # … with several keys
    "validation_size: 1000 # how many pairs, but a tenth at most of a small corpus; of no effect for a split that is"
    " given",  # … on several lines
    "_target_: dragoman.models.Transformer",  # nothing
    "_partial_: true",
)


def test_help_tells_what_the_files_say_of_each_key(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "train.py"), "--help", "experiment=small", "model=transformer_tiny"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    keys = shown.partition("with their present values:\n")[2].partition("\n\n")[0]
    lines = [" ".join(line.split()) for line in keys.splitlines()]
    for line in TOLD:
        assert line in lines
    assert sum(" # " in line for line in lines) >= 60
    assert yaml.safe_load(keys)["model"]["dim"] == 128  # what is shown is still a configuration


def test_help_tells_what_a_choice_on_the_command_line_says_of_its_keys(tmp_path: Path) -> None:
    about = " ".join(run(tmp_path, "--help", "model=rnnsearch").stdout.rpartition("model=rnnsearch:")[2].split())
    own = (APP.parent / "configs/model/rnnsearch.yaml").read_text().split("\ndefaults")[0]
    assert about == " ".join(own.replace("#", "").split())


def test_the_other_options_still_work(tmp_path: Path) -> None:
    """`--cfg job` with literals and without a mandatory value, `--config-dir`, and Hydra's own help and information."""
    shown = run(tmp_path, "--cfg", "job", "--resolve", "name=it's: ${x}").stdout
    assert "run_dir: 'checkpoints/it''s: ${x}'\n" in shown
    assert run(tmp_path, "--cfg", "job", "--package", "model.dim").stdout == "512\n"
    extra = tmp_path / "it's mine" / "corpus"
    extra.mkdir(parents=True)
    (extra / "mine.yaml").write_text("# text of mine\nfolder: there\n")
    assert config(tmp_path, "name=x", "corpus=mine", "--config-dir=it's mine")["corpus"] == {"folder": "there"}
    assert "text of mine" in run(tmp_path, "--help", "--config-dir=it's mine").stdout
    assert "Hydra (1.3" in run(tmp_path, "--hydra-help").stdout
    assert "corpus/files" in run(tmp_path, "--info", "defaults").stdout
