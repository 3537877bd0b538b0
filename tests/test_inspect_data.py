"""The data doctor on a corpus in which each defect is planted a known number of times at known lines."""

import errno
import json
import re
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dragoman import files
from dragoman.doctor.terminal import visible
from scripts_for_tests import Answer, call, done, start, tree

ENGLISH = product(
    ["The old", "The young", "Our friendly", "Their tired"], ["teacher", "farmer", "doctor", "neighbour", "painter"],
    ["walks slowly", "works quietly", "waits patiently", "sings happily"], ["in the garden", "behind the house"],
)  # fmt: skip
GERMAN = product(
    ["Der alte", "Der junge", "Unser netter", "Ihr müder"], ["Lehrer", "Bauer", "Arzt", "Nachbar", "Maler"],
    ["geht langsam", "arbeitet leise", "wartet geduldig", "singt fröhlich"], ["im Garten", "hinter dem Haus"],
)  # fmt: skip
SOUND = [
    (f"{' '.join(en)} this morning.", f"{' '.join(de)} heute Morgen.") for en, de in zip(ENGLISH, GERMAN, strict=True)
]
VALIDATION, TEST, TRAIN = SOUND[:6], SOUND[6:12], SOUND[12:]

SCRIPT = "<script>alert('1 & 2')</script>"
LONG = "A word and another word follow. " * 40
PLANTED: dict[int, tuple[str, str]] = {  # line → what stands there
    3: ("", "Hier fehlt die andere Seite."),
    5: ("The other side is missing here.", " \u3000"),
    8: ("A bell\x07 rings in the tower.", "Eine Glocke läutet im Turm."),
    11: ("The coffee is too hot for me.", "Der Kaffee ist mir zu heiÃŸ, mÃ¶chte ich sagen."),
    14: (LONG, LONG.replace("A word and another word follow", "Ein Wort und ein anderes Wort folgen")),
    17: ("No.", "Nein, das kann ich mir beim besten Willen nicht vorstellen."),
    20: ("Schwarzwald Verkehrsgesellschaft", "Schwarzwald  Verkehrsgesellschaft"),
    23: ("The cat sleeps in the sun.", "Кошка спит на солнце."),
    26: ("Il fait très beau dehors et nous voulons sortir.", "Es ist sehr schön draußen und wir wollen hinaus."),
    29: TRAIN[0],
    32: (TRAIN[1][0].upper().replace(".", " !"), TRAIN[1][1]),
    40: (VALIDATION[2][0], "Das steht so nicht in der Vorlage, glaube ich."),
    41: ("This is not what stands there, I believe.", TEST[4][1].replace(" ", "  ")),
    44: (SCRIPT, f"{SCRIPT} und noch mehr."),
    **{line: (TRAIN[50][0], f"Die Übersetzung Nummer {line} von vielen.") for line in range(60, 66)},
}
EXPECTED = {
    "not_text": [47, 50],
    "empty": [3, 5],
    "control": [8],
    "mojibake": [11],
    "over_long": [14],
    "length_ratio": [17],
    "identical": [20],
    "script": [23],
    "language": [26],
    "duplicates": [29],
    "near_duplicates": [29, 32],
    "many_targets": [64, 65],
    "held_out": [40],
    "near_held_out": [40, 41],
}


def write(folder: Path) -> list[str]:
    """The corpus; its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = list(TRAIN[:70])
    for line, pair in PLANTED.items():
        lines[line - 1] = pair
    raw = [[side.encode() for side in pair] for pair in lines]
    raw[46][0], raw[49][1] = b"caf\xe9 in the morning", b"Stra\xdfe"
    for side, language in enumerate(("en", "de")):
        (folder / f"train.{language}").write_bytes(b"".join(pair[side] + b"\n" for pair in raw))
        for stem, pairs in (("val", VALIDATION), ("test", TEST)):
            (folder / f"{stem}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs), "utf-8")
    languages = ["corpus.source_language=en", "corpus.target_language=de"]
    return ["corpus=folder", f"corpus.folder={folder}", *languages, "examples=50"]


def report(folder: str = "reports/corpus") -> dict[str, Any]:
    return json.loads(Path(folder, "report.json").read_text("utf-8"))


def lines_of(found: dict[str, Any]) -> list[int]:
    return [int(example["origin"].rpartition(":")[2]) for example in found["examples"]]


@pytest.fixture
def examined(place) -> Answer:
    return done(call("inspect_data", *write(Path("data")), "tokenizer_pairs=0"))


def test_the_report_finds_what_was_planted_and_nothing_else(examined):
    train = report()["splits"]["train"]
    assert {rule: lines_of(found) for rule, found in train["findings"].items()} == EXPECTED
    assert {rule: found["count"] for rule, found in train["findings"].items()} == {
        rule: len(lines) for rule, lines in EXPECTED.items()
    }
    assert sum(map(len, EXPECTED.values())) == 19
    assert train["pairs"] == 68
    every = {line for found in train["findings"].values() for line in lines_of(found)}
    assert train["sound"] == 70 - len(every)


def test_examples_say_where_they_stand_and_why(examined):
    findings = report()["splits"]["train"]["findings"]
    assert findings["not_text"]["examples"] == [
        {
            "origin": "data/train.en:47", "reason": "source: byte 4 of the text (0xE9) is not UTF-8",
            "source": "caf\\xe9 in the morning", "target": TRAIN[46][1],
        },
        {
            "origin": "data/train.de:50", "reason": "target: byte 5 of the text (0xDF) is not UTF-8",
            "source": TRAIN[49][0], "target": "Stra\\xdfe",
        },
    ]  # fmt: skip
    reasons = {rule: [example["reason"] for example in found["examples"]] for rule, found in findings.items()}
    assert reasons["duplicates"] == ["a copy of data/train.{en,de}:1 (exact)"]
    assert reasons["near_duplicates"][1] == "a copy of data/train.{en,de}:2 (normalised)"
    assert reasons["held_out"] == ["its source is also in data/val.{en,de}:3 (exact)"]
    assert reasons["near_held_out"][1] == "its target is also in data/test.{en,de}:5 (normalised)"
    assert reasons["many_targets"] == ["its source has 7 different targets, over 5 (normalised)"] * 2
    assert findings["control"]["examples"][0]["source"] == PLANTED[8][0]


def test_every_split_is_reported(examined):
    splits = report()["splits"]
    assert [splits[name]["pairs"] for name in ("validation", "test")] == [6, 6]
    held = {
        name: {rule: lines_of(found) for rule, found in splits[name]["findings"].items() if found["count"]}
        for name in ("validation", "test")
    }
    assert held == {"validation": {"held_out": [3], "near_held_out": [3]}, "test": {"near_held_out": [5]}}
    assert splits["test"]["findings"]["near_held_out"]["examples"][0]["reason"] == (
        "its target is also in the training split"
    )
    words = splits["validation"]["sides"]["source"]
    assert words["words"] == sum(len(source.split()) for source, _ in VALIDATION)
    assert words["characters"] == sum(len(source) for source, _ in VALIDATION)
    assert sum(words["lengths"].values()) == 6


def test_a_whole_pair_that_leaks_is_called_so_on_both_sides(place):
    arguments = write(Path("data"))
    for side, language in enumerate(("en", "de")):
        with Path(f"data/train.{language}").open("ab") as file:
            file.write(f"{TEST[2][side]}\n".encode())
    done(call("inspect_data", *arguments, "tokenizer_pairs=0"))
    train, _, test = report()["splits"].values()
    assert train["findings"]["held_out"]["examples"][-1]["reason"] == (
        "its source and target are also in data/test.{en,de}:3 (exact)"
    )
    assert test["findings"]["held_out"]["examples"][0]["reason"] == (
        "its source and target are also in the training split"
    )


def test_the_terminal_says_the_same_in_plain_text(examined):
    for rule, found in report()["splits"]["train"]["findings"].items():
        (row,) = re.findall(rf"^{rule} .*$", examined.out, re.MULTILINE)
        assert row.split()[1] == str(found["count"])
    assert "train: 70 lines, of which 2 are no text and so no pairs." in examined.out
    assert "A bell\\x07 rings" in examined.out
    assert re.findall(r"[^\x20-\x7e\xa1-\uffff\n]", examined.out) == []
    assert "reports/corpus/report.html" in examined.out
    assert examined.err == ""


class Tags(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        assert not [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_other_and_escapes_what_it_shows(place):
    done(call("inspect_data", *write(Path("data")), "tokenizer_pairs=0", "cleaning.length_ratio.most=1.1"))
    page = Path("reports/corpus/report.html").read_text("utf-8")
    tags = Tags(page)
    assert SCRIPT in tags.text
    assert "script" not in tags.names
    assert {"svg", "table", "details"} <= tags.names
    assert "A bell\\x07 rings" in tags.text
    assert f"Corpus en → de: data, {date.today()}" in tags.text
    assert "70 lines, of which 2 are no text" in tags.text
    assert "`" not in tags.text
    over_long = report()["splits"]["train"]["findings"]["over_long"]["examples"][0]
    assert over_long["source"] not in tags.text
    assert over_long["source"][:100] in tags.text
    assert over_long["source"][-100:] in tags.text
    picture = ElementTree.fromstring("<svg" + page.partition("<svg")[2].partition("</svg>")[0] + "</svg>")
    assert len(list(picture.iter())) > 50


def test_a_tokenizer_is_learnt_on_the_spot_and_what_it_cannot_spell_is_told(place):
    arguments = write(Path("data"))
    for stem, language in (("val", "en"), ("train", "de")):
        path = Path(f"data/{stem}.{language}")
        path.write_bytes(
            path.read_bytes().replace(b"garden", "☃ ☃".encode()).replace(b"Garten", "Garten ☃".encode(), 1)
        )
    small = ["tokenizer.vocab_size=130", "tokenizer.byte_fallback=false", "tokenizer.character_coverage=0.99"]
    done(call("inspect_data", *arguments, *small))
    splits = report()["splits"]
    for name, split in splits.items():
        for side in split["sides"].values():
            assert side["tokens"] == sum(int(length) * count for length, count in side["lengths"].items()), name
    snowy = [n for n, (source, _) in enumerate(VALIDATION, 1) if "garden" in source]
    assert len(snowy) >= 2
    assert lines_of(splits["validation"]["findings"]["unknown_characters"]) == snowy
    assert lines_of(splits["validation"]["findings"]["round_trip"]) == snowy
    assert splits["validation"]["sides"]["source"]["unknown"] == 2 * len(snowy)
    assert splits["train"]["sides"]["source"]["unseen"] == 0
    assert report()["pieces"] == {"source": 130, "target": 130}


def test_the_tokenizers_of_a_run_are_examined_instead(place, trained):
    answer = done(call("inspect_data", f"run={trained.first}", "corpus.train_size=50", "corpus.test_size=5", "name=x"))
    found = report("reports/x")
    assert found["pieces"] == {"source": 400, "target": 400}
    assert 0 < found["pieces_in_use"]["source"] < 400
    assert "The source tokenizer has 400 pieces" in answer.out


def test_what_cannot_be_examined_is_told_and_the_rest_is(place):
    arguments = [one.replace("target_language=de", "target_language=tlh") for one in write(Path("data"))]
    for stem in ("train", "val", "test"):
        Path(f"data/{stem}.de").rename(f"data/{stem}.tlh")
    answer = done(call("inspect_data", *arguments))
    assert "The rule script is left out: No script is known for the language 'tlh'" in answer.out
    assert "The rule language is left out: py3langid does not know the language 'tlh'" in answer.out
    most = report()["pieces"]["source"]
    assert "The tokenizer is the largest that this corpus allows: `tokenizer.vocab_size` (8000) is larger" in answer.out
    assert f"set it to {most} or less" in answer.out
    assert 300 < most < 8000
    findings = report()["splits"]["train"]["findings"]
    assert not {"script", "language"} & set(findings)
    assert findings["empty"]["count"] == 2


def test_without_a_tokenizer_the_rest_is_told(place):
    answer = done(call("inspect_data", *write(Path("data")), "tokenizer.vocab_size=20"))
    assert "There is no tokenizer, so tokens are not counted: `tokenizer.vocab_size` (20) is too small" in answer.out
    assert report()["splits"]["train"]["findings"]["empty"]["count"] == 2


def test_lines_that_are_not_text_are_told_without_any_rule(place):
    done(call("inspect_data", *write(Path("data")), "cleaning=none", "tokenizer_pairs=0"))
    assert {rule: lines_of(found) for rule, found in report()["splits"]["train"]["findings"].items()} == {
        "not_text": [47, 50]
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["corpus=folder", "corpus.folder=gone", *["corpus.source_language=en"], "corpus.target_language=de"], "gone"),
        (["run=gone"], "There is no run folder gone"),
        (["examples=-1"], "`examples` is -1, but must be a whole number, at least 0."),
        (["tokenizer_pairs=-1"], "`tokenizer_pairs` is -1"),
        (["cleaning.length_ratio.most=0"], "`most` is 0, but must be at least 1"),
        (["cleaning.length_ration.most=2"], "cleaning.length_ratio"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_report(place, arguments, said):
    answer = call("inspect_data", *arguments)
    assert answer.status == 1
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert not Path("reports").exists()


def test_a_full_disk_leaves_the_old_report_whole(examined, monkeypatch):
    before = tree(Path("reports"))
    assert len(before) == 3

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    answer = call("inspect_data", *write(Path("data")), "tokenizer_pairs=0", "examples=1")
    remedy = "Make room on the disk and give the command again."
    assert (answer.status, answer.err) == (1, f"No space left on device: reports/corpus/report.json. {remedy}\n")
    assert tree(Path("reports")) == before


def test_examples_may_be_none(place):
    answer = done(call("inspect_data", *write(Path("data")), "tokenizer_pairs=0", "examples=0"))
    assert report()["splits"]["train"]["findings"]["empty"] == {"count": 2, "examples": []}
    assert "|||" not in answer.out


def characters() -> Iterator[str]:
    yield from map(chr, range(0x2100))
    yield "\ufeff"


def test_no_character_that_is_shown_moves_the_cursor():
    shown = "".join(map(visible, characters()))
    assert "\x1b" not in shown
    assert shown.isprintable()


def test_a_reader_that_leaves_is_no_error(place):
    process = start("inspect_data", *write(place / "data"), "tokenizer_pairs=0", folder=place)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait(timeout=120)
    assert (process.returncode, process.stderr.read()) == (141, b"")
