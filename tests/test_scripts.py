"""The scripts as their users run them: train, go on, sweep, score, translate, by whatever name and on whatever text."""

import csv
import gzip
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF, TER

from conftest import Runs
from dragoman.evaluation.scores import Score, score
from dragoman.search import Greedy
from dragoman.text.lines import read_lines
from dragoman.translator import Translator
from dragoman.weights import read_weights
from scripts_for_tests import (
    TINY,
    Answer,
    call,
    done,
    environment,
    finish,
    lines,
    next_line,
    run,
    start,
    tree,
    write_corpus,
)

DEBUG = ["trainer=debug", *(setting for setting in TINY if not setting.startswith(("experiment", "corpus")))]


pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def copied(trained: Runs, place: Path) -> Path:
    """A copy of a finished run, to write into."""
    shutil.copytree(trained.first, place / "copied")
    return Path("copied")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- Training ---

KEPT = {
    "provenance.json",
    "config.yaml", "tokenizer.model", "best.ckpt", "last.ckpt", "last-previous.ckpt", "weights", "metrics.csv",
    "source.txt", "hypotheses.txt", "reference.txt", "scores.json",
}  # fmt: skip


CORPUS = "it's, [multi] {b}=~c $HOME ${x} %d #e 😀 é"


@pytest.fixture(scope="module")
def multi30k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe for Multi30k on a few pairs under its file names, trained by a real process for three steps."""
    folder = tmp_path_factory.mktemp("multi30k")
    write_corpus(folder / CORPUS, ("en", "de"), test="test_2016_flickr")
    answer = done(run("train", *recipe("trainer.max_steps=3"), folder=folder))
    (folder / "said").write_text(answer.out, "utf-8")
    return folder


def recipe(*more: str) -> list[str]:
    return [
        "experiment=multi30k_en_de",
        f"corpus.folder={CORPUS}",
        "model.dropout=0.2",
        *DEBUG,
        "model.dropout=0.2",
        *more,
    ]


@pytest.fixture
def begun(multi30k: Path, place: Path) -> Path:
    """A copy of that run in the working folder."""
    shutil.copytree(multi30k, place, dirs_exist_ok=True)
    return Path("checkpoints/multi30k_en_de-debug")


def test_a_training_leaves_a_complete_run_and_prints_scores_and_examples(multi30k: Path) -> None:
    folder = multi30k / "checkpoints" / "multi30k_en_de-debug"
    assert names(folder) == KEPT
    assert names(multi30k) == {CORPUS, "checkpoints", "data-sets", "said"}
    said = (multi30k / "said").read_text("utf-8")
    scores, *examples = said.removesuffix("\n").split("\n\n")
    stored = [Score(**one) for one in json.loads((folder / "scores.json").read_text())["scores"]]
    assert scores.split("\n") == [str(score) for score in stored]
    assert [score.name for score in stored] == ["BLEU", "chrF2", "TER"]
    sources, hypotheses = (list(read_lines(folder / name)) for name in ("source.txt", "hypotheses.txt"))
    assert (
        examples == [f"{source}\n  → {hypothesis}" for source, hypothesis in zip(sources, hypotheses, strict=True)][:3]
    )
    assert len(sources) == 16


def test_a_finished_run_started_again_says_its_scores_and_trains_nothing(begun: Path, multi30k: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("*")}
    assert done(call("train", *recipe("trainer.max_steps=3"))).out == (multi30k / "said").read_text("utf-8")
    assert {path: path.stat().st_mtime_ns for path in begun.rglob("*")} == before


def test_another_identity_is_refused_naming_key_and_values(begun: Path) -> None:
    before = tree(begun)
    answer = call("train", *recipe("trainer.max_steps=3", "model.dropout=0.3", "seed=2"))
    assert (answer.status, answer.out) == (1, "")
    assert re.fullmatch(
        r"\S+ holds another run \(model.dropout: 0.2 there, 0.3 here; seed: 1 there, 2 here\); .+\n", answer.err
    )
    assert tree(begun) == before


def test_a_longer_training_goes_on_and_says_so_in_the_folder(begun: Path) -> None:
    old = list(csv.DictReader((begun / "metrics.csv").open()))
    answer = done(call("train", *recipe("trainer.max_steps=6")))
    assert "going on from step 3" in answer.err
    assert "trainer.max_steps: 3 -> 6" in (begun / "changes.txt").read_text()
    new = list(csv.DictReader((begun / "metrics.csv").open()))
    assert new[: len(old)] == old
    assert max(int(row["step"]) for row in new) == 6 > max(int(row["step"]) for row in old) > 0
    assert names(begun) == KEPT | {"changes.txt"}


def test_a_sweep_makes_a_folder_for_each_job() -> None:
    write_corpus(Path("data"))
    answer = done(call("train", "--multirun", *TINY, "corpus.folder=data", "trainer=debug", "name=many", "seed=1,2"))
    assert names(Path("checkpoints/many-debug")) == {"seed=1", "seed=2", "sweep.md", "sweep.json"}
    first, second = (Path("checkpoints/many-debug") / f"seed={seed}" for seed in (1, 2))
    assert names(first) == names(second) == KEPT
    assert (first / "tokenizer.model").read_bytes() == (second / "tokenizer.model").read_bytes()
    assert (first / "best.ckpt").read_bytes() != (second / "best.ckpt").read_bytes()
    assert len(re.findall(r"^BLEU +\d", answer.out, re.MULTILINE)) == 2
    assert "2 of 2 jobs done, 0 failed." in answer.err


def test_a_training_is_the_same_in_any_process_and_folder(begun: Path) -> None:
    """The corpus is read by the bytes, the randomness is the seed's: elsewhere is no different."""
    done(call("train", *recipe("trainer.max_steps=3", "run_dir=again")))
    for name in ("hypotheses.txt", "tokenizer.model"):
        assert Path("again", name).read_bytes() == (begun / name).read_bytes()
    first, second = (read_weights(folder / "best.ckpt") for folder in (begun, Path("again")))
    assert all(torch.equal(first[name], second[name]) for name in {*first, *second})


# --- Scoring ---


def sacrebleu(folder: Path) -> list[Score]:
    """What the command line of sacreBLEU says of the files that were written."""
    command = [sys.executable, "-m", "sacrebleu", str(folder / "reference.txt"), "-i", str(folder / "hypotheses.txt")]
    command += ["-m", "bleu", "chrf", "ter", "--confidence", "-w", "12"]
    said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    found = []
    for one in json.loads(said):
        mean, spread = one.get("confidence_mean", 0.0), one.get("confidence_var", 0.0)
        low, high = max(mean - spread, 0.0), mean + spread if one["name"] == "TER" else min(mean + spread, 100.0)
        found.append(Score(one["name"], one["score"], low, high, one["signature"]))
    return found


CASES: dict[str, tuple[list[str], str, int]] = {
    "own test set": (["run=copied"], "copied", 20),
    "greedy": (["run=copied", "search=greedy", "search.length_ratio=1", "output=greedy"], "greedy", 20),
    "two files": (["run=copied", "source=it's [mine].en", "reference=it's [mine].fr"], "copied/it's [mine].en", 40),
    "int8": (["run=copied", "precision=int8", "output=int8"], "int8", 20),
    "ensemble": (["run=[copied,SECOND]", "search=beam", "search.beam=2", "output=both"], "both", 20),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_is_what_sacrebleu_says_of_the_files(trained: Runs, copied: Path, case: str) -> None:
    data = trained.folder / "data"
    for language in ("en", "fr"):
        shutil.copy(data / f"val.{language}", f"it's [mine].{language}")
    arguments, folder, count = CASES[case]
    answer = done(call("evaluate", *(argument.replace("SECOND", str(trained.second)) for argument in arguments)))
    printed = lines(answer.out)[:3]  # below them stands the table by length
    assert printed == [str(score) for score in sacrebleu(Path(folder))]
    content = json.loads((Path(folder) / "scores.json").read_text("utf-8"))
    assert [str(Score(**one)) for one in content["scores"]] == printed
    stem = "val" if count == 40 else "test"
    for name, side in (("source.txt", "en"), ("reference.txt", "fr")):
        assert (Path(folder) / name).read_bytes() == (data / f"{stem}.{side}").read_bytes()
    assert content["precision"] == ("int8" if case == "int8" else "fp32")
    assert content["sentences"] == len(list(read_lines(Path(folder) / "hypotheses.txt"))) == count


def test_translations_that_almost_all_miss_are_scored_too() -> None:
    """Some resamples match nothing at all: sacreBLEU 2.6 makes a number of another type of them, and stumbles."""
    hypotheses, references = ["a b c d", *["'"] * 9], ["a b c d", *["x y z"] * 9]
    scores = score(hypotheses, references)
    plain = [metric.corpus_score(hypotheses, [references]).score for metric in (BLEU(), CHRF(), TER())]
    assert [one.value for one in scores] == plain
    assert all(one.low < one.value < one.high for one in scores)


def test_scoring_a_run_again_gives_the_scores_of_its_training(trained: Runs, copied: Path, place: Path) -> None:
    answer = done(run("evaluate", "run=copied", folder=place))
    for name in ("hypotheses.txt", "source.txt", "reference.txt"):
        assert (copied / name).read_bytes() == (trained.first / name).read_bytes()
    before, after = (json.loads((folder / "scores.json").read_text())["scores"] for folder in (trained.first, copied))
    assert before == after
    assert lines(answer.out)[:3] == [str(Score(**one)) for one in after]
    assert answer.err == ""


# --- Translating ---

WORDS = 100_000
ODD = [
    "The hen runs.", "", " ", "   ", "\t", " \t ", "a\tb", *(f"a{chr(code)}b" for code in range(32) if code != 10),
    *(chr(code) for code in range(32) if code != 10), "a\u2028b\u2029c\u0085d", "\u2028", "\u0085", "\x7f", "\xa0",
    "\u3000", "\u200b", "😀 \U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308", "東京タワー",
    "e\u0301\u0301\u0301", "\ufeffThe hen", "\ufffd", "\U0010ffff", "The hen runs.\r", "\r", "||| 0-0",
    "<s> </s> <unk> <pad> <0x0A>", "▁", "x" * 5_000, "The hen, " * 300, "the " * WORDS, "\u202eThe hen", "last",
]  # fmt: skip


SHORT = {"max_source": 256, "length_ratio": 0.1, "length_extra": 9}  # the words are many enough


def expected(trained: Runs, given: list[str], **search: Any) -> list[str]:
    return Translator.load(trained.first, search=Greedy(**search) if search else None)(given)


def test_a_line_comes_out_for_every_line_that_goes_in(trained: Runs, place: Path) -> None:
    """Through a real process, over stdin, with a byte order mark, and without a line feed in the end."""
    given = "\n".join(ODD)
    short = [f"run={trained.first}", "search=greedy", *(f"search.{key}={value}" for key, value in SHORT.items())]
    answer = done(run("translate", *short, folder=place, given=b"\xef\xbb\xbf" + given.encode()))
    out = lines(answer.out)
    assert len(out) == len(ODD) > 90
    longest = max(range(len(ODD)), key=lambda index: len(ODD[index]))
    assert out[longest]
    ordinary = [line.removesuffix("\r") for index, line in enumerate(ODD) if index != longest]
    assert out[:longest] + out[longest + 1 :] == expected(trained, ordinary, **SHORT)
    assert not any(text for line, text in zip(ODD, out, strict=True) if not line.strip())
    assert sum(bool(text) for text in out) > 40
    warned = [int(number) for number in re.findall(r"^Line (\d+) has \d+ tokens, more than", answer.err, re.M)]
    assert warned == [number for number, line in enumerate(ODD, 1) if len(line) > 2_000]
    assert len(answer.err.splitlines()) == len(warned) == 3
    assert tree(place) == {}


def test_every_way_in_and_every_way_out_gives_the_same_lines(trained: Runs) -> None:
    source = (trained.folder / "data" / "val.en").read_text("utf-8")
    out = "".join(f"{line}\n" for line in expected(trained, source.split("\n")[:-1]))
    Path("crlf.en").write_bytes(b"\xef\xbb\xbf" + source.replace("\n", "\r\n").encode().removesuffix(b"\r\n"))
    Path("packed.en.gz").write_bytes(gzip.compress(source.encode()))
    at = f"run={trained.first}"
    assert done(call("translate", at, given=source)) == Answer(0, out, "")
    assert done(call("translate", at, "source=crlf.en")) == Answer(0, out, "")
    assert done(call("translate", at, "source=packed.en.gz", "target=out.gz", "chunk=7")) == Answer(0, "", "")
    assert gzip.decompress(Path("out.gz").read_bytes()).decode() == out
    assert done(call("translate", at, "source=crlf.en", "target=out.txt", "batch_tokens=1")) == Answer(0, "", "")
    assert Path("out.txt").read_bytes().decode() == out
    assert done(call("translate", at, "text=The hen runs.")).out == expected(trained, ["The hen runs."])[0] + "\n"
    assert done(call("translate", at, "text=")).out == "\n"
    assert done(call("translate", at, given="")) == Answer(0, "", "")
    assert done(call("translate", f"run=[{trained.first}]", given=source)).out == out


def test_nbest_lines_are_number_text_and_score_best_first(trained: Runs) -> None:
    given = "The hen runs.\n\nThe goat and the bird sleep.\n"
    beam = ["search=beam", "search.beam=4", "search.nbest=3"]
    found = [
        line.split(" ||| ") for line in lines(done(call("translate", f"run={trained.first}", *beam, given=given)).out)
    ]
    assert [int(fields[0]) for fields in found] == [0, 0, 0, 1, 2, 2, 2]
    for _, group in groupby(found, lambda fields: fields[0]):
        scores = [float(fields[2]) for fields in group]
        assert scores == sorted(scores, reverse=True)
    best = lines(done(call("translate", f"run={trained.first}", "search=beam", "search.beam=4", given=given)).out)
    assert best == [found[0][1], found[3][1], found[4][1]]
    assert len({fields[1] for fields in found}) == 7


def test_alignments_give_each_target_word_one_source_word(trained: Runs) -> None:
    data = [*read_lines(trained.folder / "data" / "val.en")]
    given = [line for line in ODD if len(line) < 10_000] + [" ".join(data), *data]
    answer = done(
        call("translate", f"run={trained.first}", "alignment=true", given="".join(f"{line}\n" for line in given))
    )
    aligned = 0
    for line, out in zip(given, lines(answer.out), strict=True):
        text, _, pairs = out.rpartition(" ||| ")
        found = [tuple(map(int, pair.split("-"))) for pair in pairs.split()]
        assert [target for _, target in found] == list(range(len(text.split())))
        assert all(0 <= source < len(line.split()) for source, _ in found)
        aligned += len(found)
    assert aligned > 300


def drawn(*arguments: str, given: str) -> list[str]:
    """Number and text of each sample: the last digit of its score may depend on what it was summed beside."""
    return [line.rpartition(" ||| ")[0] for line in lines(done(call("translate", *arguments, given=given)).out)]


def test_samples_are_those_of_their_seed_whatever_stands_around_them(trained: Runs) -> None:
    given = "".join(f"{line}\n" for line in [*read_lines(trained.folder / "data" / "val.en")][:12])
    sample = [f"run={trained.first}", "search=sample", "search.temperature=0.8", "search.nbest=2"]
    first = drawn(*sample, given=given)
    assert drawn(*sample, "batch_tokens=1", "chunk=1", given=given) == first
    assert drawn(*sample, "search.seed=2", given=given) != first


def test_an_ensemble_reads_all_of_its_runs(trained: Runs) -> None:
    given = (trained.folder / "data" / "test.en").read_text("utf-8")
    both = f"run=[{trained.first},{trained.second}]"
    outs = [
        done(call("translate", at, given=given)).out for at in (both, f"run={trained.first}", f"run={trained.second}")
    ]
    assert [len(lines(out)) for out in outs] == [20] * 3
    assert len(set(outs)) == 3


def test_a_prompt_answers_line_by_line_and_keeps_stdout_clean(trained: Runs, place: Path) -> None:
    keyboard, terminal = pty.openpty()
    process = start("translate", f"run={trained.first}", folder=place, stdin=terminal)
    os.close(terminal)
    answers = []
    typed = ["The hen runs.", "", "it's — 東, [x]", "The goat sleeps."]
    for line in typed:
        os.write(keyboard, f"{line}\n".encode())
        answers.append(next_line(process))
    os.write(keyboard, b"\x04")  # end of input
    answer = finish(process, b"")
    os.close(keyboard)
    assert answers == [f"{line}\n" for line in expected(trained, typed)]
    assert answer == Answer(0, "", "> " * 5 + "\n")


# --- Literal values ---

NAMES = [CORPUS, "null", "007", "[a,b]", " two  spaces ", "${seed}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_road_under_any_name(name: str) -> None:
    """Trained from a folder of that name into a run of that name, scored and asked by it, on files named so."""
    write_corpus(Path(name) / "text")
    answer = done(call("train", *TINY, f"corpus.folder={name}/text", "trainer=debug", f"name={name}", "suffix=''"))
    folder = Path("checkpoints") / name
    assert names(folder) == KEPT
    assert names(Path()) == {name, "checkpoints"}
    assert lines(done(call("evaluate", f"run=checkpoints/{name}", f"output={name}/out")).out)[1:] != []
    shutil.copytree(folder, Path(name) / "run")
    Path(f"{name}/{name}").write_text(f"{name}\n", "utf-8")
    asked = done(call("translate", f"run={name}/run", f"text={name}")).out
    assert asked == done(call("translate", f"run={folder}", f"source={name}/{name}")).out
    done(call("translate", f"run={folder}", f"source={name}/{name}", f"target={name}/{name}.out"))
    assert Path(f"{name}/{name}.out").read_text("utf-8") == asked
    done(call("evaluate", f"run={name}/run", f"source={name}/{name}", f"reference={name}/{name}"))
    assert (Path(name) / "run" / name / "scores.json").is_file()
    assert "BLEU" in answer.out


def test_an_odd_name_through_real_processes(trained: Runs, place: Path) -> None:
    """The road's first part is the fixture `multi30k`, whose corpus lies in a folder of that name."""
    shutil.copytree(trained.first, place / CORPUS)
    (place / "text.en").write_text("The hen runs.\n")
    asked = done(run("translate", f"run={CORPUS}", f"text={CORPUS}", folder=place))
    assert lines(asked.out) == expected(trained, [CORPUS])
    scored = done(
        run("evaluate", f"run={CORPUS}", "source=text.en", "reference=text.en", f"output={CORPUS}.out", folder=place)
    )
    assert scored.out.startswith("BLEU ")
    assert names(place / f"{CORPUS}.out") == {
        "source.txt",
        "hypotheses.txt",
        "reference.txt",
        "scores.json",
        "lengths.png",
    }
