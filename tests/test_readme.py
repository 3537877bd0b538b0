"""What the README says works: each of its commands runs, and its tree is that of the repository."""

import re
import subprocess
import sys
from pathlib import Path

from scripts_for_tests import ROOT, SCRIPTS, environment, write_corpus

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = [line for language, block in BLOCKS if not language for line in block.replace("\\\n", "").splitlines()]
COMMANDS = [line.split(" #")[0].strip() for line in LINES]

# What makes a training take seconds; a model this small reads the tiny corpora of the tests.
SMALL = (
    "trainer=debug logger=csv tokenizer.vocab_size=400 model.dim=16 model.feed_forward_dim=16 model.encoder_layers=1 "
    "model.decoder_layers=1 search=greedy"
)
SMALL_POCKET = f"{SMALL} corpus.train_size=400 corpus.validation_size=20 corpus.test_size=20"


def prepared(command: str, number: int, trained, folder: Path) -> str:
    """The command as a test can run it: real folders for the names, a run of its own, seconds instead of minutes."""
    own_data = "DATA" in command
    data = folder / "data"
    if own_data:
        language = "de"
        write_corpus(data, languages=("en", language), test="test_2016_flickr" if "multi30k" in command else "test")
    command = command.replace("DATA", str(data)).replace("name=mine", "name=readme")
    command = command.replace("checkpoints/mine", str(trained.first)).replace("checkpoints/other", str(trained.second))
    command = re.sub(r"^python scripts/(\w+)\.py", rf"{sys.executable} {SCRIPTS}/\1.py", command)
    command = re.sub(r"^sacrebleu", f"{sys.executable} -m sacrebleu", command)
    if "train.py" in command and "--help" not in command:
        # Weights of the tiny runs fit a model as wide as theirs.
        small = SMALL.replace("dim=16", "dim=64") if "init=" in command else SMALL
        command = f"{command.replace('name=readme', '')} name=readme{number} {small if own_data else SMALL_POCKET}"
    return command


def run_in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = environment() | {"HF_DATASETS_CACHE": str(folder / "data-sets")}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=variables, input="A cat sleeps.\n", capture_output=True, text=True
    )


def test_every_command_runs(trained, tmp_path):
    for name, line in (
        ("source.txt", "The dog ran.\n\n"),
        ("news.en", "The dog ran.\n"),
        ("news.de", "Le chien.\n"),
        ("made.tsv", "The dog ran.\tLe chien.\n"),
        ("pairs.tsv", "The dog ran.\tLe chien.\tLa chien.\tgender\n"),
    ):
        (tmp_path / name).write_text(line)
    ran = [command for command in COMMANDS if re.match(r"python scripts/|sacrebleu", command)]
    assert len(ran) >= 18
    for number, command in enumerate(ran):
        result = run_in_shell(prepared(command, number, trained, tmp_path), tmp_path)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
        assert result.stdout or ">" in command, command


def test_the_python_example_runs(trained):
    examples = [block for language, block in BLOCKS if language == "python"]
    assert len(examples) == 1
    names: dict[str, object] = {}
    exec(examples[0].replace("checkpoints/mine", str(trained.first)), names)
    assert callable(names["translate"])


def test_the_two_commands_are_targets():
    for target in ("train", "test", "test-all"):
        assert f"`make {target}`" in README or f"make {target} " in README
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_tree_has_a_line_for_every_file():
    tree = next(block for language, block in BLOCKS if "src/dragoman/" in block and not language)
    listed = set(re.findall(r"^\s*([\w/-]+\.py)\s", tree, re.MULTILINE))
    files = [path for folder in ("src", "scripts") for path in (ROOT / folder).rglob("*.py")]
    names = {path.name for path in files if path.name != "__init__.py" and "pocket" not in path.parts}
    assert {Path(name).name for name in listed} == names
