"""Comparisons: the numbers of `sacrebleu --paired-bs` on the same files, and none between what cannot be compared."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from dragoman.evaluation.evaluate import HYPOTHESES, REFERENCE, SOURCE
from dragoman.evaluation.scores import score
from dragoman.files import write_text
from dragoman.run import SCORES
from scripts_for_tests import call, done
from test_scores import corpus

pytestmark = pytest.mark.usefixtures("place")


def write_evaluation(folder: Path, hypotheses: list[str], references: list[str]) -> Path:
    """What evaluate.py leaves in a folder, as far as it is read again."""
    folder.mkdir()
    for name, lines in ((SOURCE, references), (HYPOTHESES, hypotheses), (REFERENCE, references)):
        write_text(folder / name, "".join(f"{line}\n" for line in lines))
    scores = [one._asdict() for one in score(hypotheses, references)]
    write_text(folder / SCORES, json.dumps({"scores": scores}))
    return folder


ODD = "it's, [b] {c}=~d"


@pytest.fixture
def evaluated(place: Path) -> list[Path]:
    """Three translations of one test set: one good in parts, a slightly worse and a bad one."""
    hypotheses, references = corpus(1)
    folders = []
    for name, worse in (("first", 0), (ODD.replace(",", ""), 3), ("bad", 40)):
        changed = ["the cat"] * worse + hypotheses[worse:]
        folders.append(write_evaluation(place / name, changed, references).relative_to(place))
    return folders


def sacrebleu(folders: list[Path]) -> list[list[tuple[float, float | None]]]:
    """Of each system the value and p-value of BLEU, chrF and TER; from LaTeX: their JSON fails on numpy's numbers."""
    command = [sys.executable, "-m", "sacrebleu", str(folders[0] / REFERENCE), "-i"]
    command += [*(str(folder / HYPOTHESES) for folder in folders), "-m", "bleu", "chrf", "ter", "--paired-bs"]
    said = subprocess.run([*command, "--format", "latex", "-w", "6"], capture_output=True, check=True, text=True).stdout
    rows = [line for line in said.splitlines() if HYPOTHESES in line and "&" in line]
    cells = [re.findall(r"([\d.]+) \([\d.]+ ± [\d.]+\)(?: \(p = ([\d.]+)\))?", row) for row in rows]
    return [[(float(value), float(p) if p else None) for value, p in row] for row in cells]


def listed(folders: list[Path]) -> str:
    return f"scores=[{','.join(map(str, folders))}]"


def test_values_and_p_values_are_those_of_the_sacrebleu_command(evaluated: list[Path]) -> None:
    answer = done(call("compare", listed(evaluated), "output=it's/new.json"))
    written = json.loads(Path("it's/new.json").read_text("utf-8"))
    assert [one["folder"] for one in written] == list(map(str, evaluated))
    first, p_values = written[0]["scores"], []
    for our, their in zip(written, sacrebleu(evaluated), strict=True):
        assert [one["name"] for one in our["scores"]] == ["BLEU", "chrF2", "TER"]
        for one, base, (value, p_value) in zip(our["scores"], first, their, strict=True):
            assert one["value"] == pytest.approx(value, abs=1e-6)
            assert one["p_value"] == (p_value and pytest.approx(p_value, abs=5e-5))
            if p_value is not None:
                assert one["difference"] == pytest.approx(one["value"] - base["value"])
                assert f"{one['value']:.2f} ({one['difference']:+.2f}, p = {one['p_value']:.3f})" in answer.out
                p_values.append(p_value)
    assert len(p_values) == 6
    assert min(p_values) < 0.01 < 0.05 < max(p_values)
    assert [one["signature"] for one in first] == [one.signature for one in score(["a"], ["a"])]
    assert answer.err == ""


def test_each_length_of_the_source_has_its_bleu(evaluated: list[Path]) -> None:
    answer = done(call("compare", listed(evaluated), "output=new.json"))
    written = json.loads(Path("new.json").read_text("utf-8"))
    hypotheses, references = corpus(1)
    bounds = {"1–10": (1, 10), "11–20": (11, 20)}
    assert [length["words"] for length in written[2]["by_length"]] == [*bounds]
    for number, (words, (low, high)) in enumerate(bounds.items()):
        chosen = [index for index, line in enumerate(references) if low <= len(line.split()) <= high]
        values = []
        for one, worse in zip(written, (0, 3, 40), strict=True):
            lines = [(["the cat"] * worse + hypotheses[worse:])[index] for index in chosen]
            value = bleu_of_lines(lines, [references[index] for index in chosen])
            assert one["by_length"][number] == {"words": words, "sentences": len(chosen), "bleu": pytest.approx(value)}
            values.append(value)
        assert 4 < len(chosen) < 52
        assert values[2] < values[0] - 5
        cells = [f"{value:.2f} ({value - values[0]:+.2f})" for value in values[1:]]
        assert f"| {words} | {len(chosen)} | {values[0]:.2f} | {' | '.join(cells)} |" in re.sub(" +", " ", answer.out)


def bleu_of_lines(hypotheses: list[str], references: list[str]) -> float:
    """BLEU by sacreBLEU, of lines as the command reads them."""
    rows = [[line.rstrip() for line in side] for side in (hypotheses, references)]
    return BLEU().corpus_score(rows[0], [rows[1]]).score


def change_line(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / name).read_text("utf-8").split("\n")
        lines[6] += " more"
        (folder / name).write_text("\n".join(lines), "utf-8")

    return change


def lengthen(folder: Path, *names: str) -> None:
    for name in names or (SOURCE, HYPOTHESES, REFERENCE):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write("one more\n")


def lengthen_source(folder: Path) -> None:
    lengthen(folder, SOURCE)


def sign_otherwise(folder: Path) -> None:
    path = folder / SCORES
    path.write_text(path.read_text().replace("tok:13a", "tok:zh"))


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "source": (change_line(SOURCE), "bad/source.txt differs from first/source.txt in line 7: only scores on one test"),
    "reference": (change_line(REFERENCE), "bad/reference.txt differs from first/reference.txt in line 7: only scores"),
    "length": (lengthen, "bad/source.txt differs from first/source.txt in line 57: only scores on one test set can be"),
    "source alone": (lengthen_source, "bad/source.txt has 57 lines and bad/reference.txt 56: evaluate again."),
    "hypotheses": (change_line(HYPOTHESES), "bad/scores.json says BLEU "),
    "signature": (sign_otherwise, "bad/scores.json: BLEU has the signature nrefs:1|bs:1000|seed:12345|case:mixed|"),
    "no scores": (lose(SCORES), "bad holds no scores.json: give the folder of a finished run, or evaluate it first."),
    "no source": (lose(SOURCE), "bad/source.txt does not exist; give a path that does"),
    "damaged": (lambda folder: write_text(folder / SCORES, "{"), "bad/scores.json is damaged; remove it and evaluate"),
    "other": (lambda folder: write_text(folder / SCORES, '{"scores": []}'), "bad/scores.json is damaged; remove"),
    "no folder": (lambda folder: folder.rename("gone"), "bad holds no scores.json: give the folder of a finished run"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused(evaluated: list[Path], case: str) -> None:
    hurt, sentence = REFUSED[case]
    hurt(evaluated[2])
    answer = call("compare", listed(evaluated), "output=comparison.json")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(sentence), answer.err
    assert answer.err.count("\n") == 1
    assert not Path("comparison.json").exists()


@pytest.mark.parametrize("argument", ["scores=first", "scores=[first]", "scores=[]"])
def test_one_folder_cannot_be_compared(evaluated: list[Path], argument: str) -> None:
    answer = call("compare", argument)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("`scores` must name two folders or more")


def test_a_run_does_not_differ_from_itself(evaluated: list[Path]) -> None:
    """sacreBLEU says p = 0.001."""
    assert call("compare", listed([evaluated[0]] * 2)).out.count("(+0.00, p = 1.000)") == 3
