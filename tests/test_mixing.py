"""Several corpora as one: weights, temperature and tags."""

from collections import Counter
from pathlib import Path

import datasets
import pytest

from dragoman.build import build
from dragoman.data.reading import draws_of
from dragoman.errors import InputError
from dragoman.text.corpus import Tsv
from dragoman.text.mixing import Mix
from dragoman.text.quarantine import clean

COMMON = {"source_language": "en", "target_language": "de", "validation_size": 2, "test_size": 3, "seed": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def tsv(name: str, count: int, **given: str) -> Tsv:
    Path(f"{name}.tsv").write_text("".join(f"{name} {n}\tZ {name} {n}\n" for n in range(count)))
    splits = {"train": f"{name}.tsv", "validation": None, "test": None} | given
    return Tsv(**COMMON, **splits, source_column=1, target_column=2)


def mix(corpora: dict, **changes: object) -> Mix:
    settings = {"weights": {}, "tags": {}, "temperature": 1.0} | changes
    return Mix(**COMMON, corpora=corpora, **settings)  # type: ignore[arg-type]


def test_the_training_splits_are_joined_and_tagged():
    corpus = mix({"a": tsv("a", 30), "b": tsv("b", 10)}, tags={"b": "<bt>"})
    splits = corpus.splits()
    sources = [source for split in splits for source in split["source"]]
    assert Counter(sources) == Counter([f"a {n}" for n in range(30)] + [f"<bt> b {n}" for n in range(10)])
    assert [len(split) for split in splits] == [35, 2, 3]
    assert all(not target.startswith("<") for split in splits for target in split["target"])
    parts = dict(zip(splits.train["source"], splits.train["part"], strict=True))
    assert parts == {source: int(source.startswith("<bt>")) for source in parts}
    assert list(corpus.split("test")["source"]) == list(splits.test["source"])


def test_validation_and_test_are_those_that_the_corpora_give():
    tsv("held", 4)
    corpora = {"a": tsv("a", 30, validation="held.tsv", test="held.tsv"), "b": tsv("b", 10, test="held.tsv")}
    train, validation, test = mix(corpora, tags={"b": "<2de>"}).splits()
    held = [f"held {n}" for n in range(4)]
    assert list(validation["source"]) == held
    assert list(test["source"]) == held + [f"<2de> {source}" for source in held]
    assert len(train) == 40


@pytest.mark.parametrize(
    ("weights", "temperature", "expected"),
    [({}, 1.0, [95, 5]), ({"b": 3}, 1, [95, 15]), ({"a": 0.1, "b": 1.0}, 1.0, [10, 5]), ({}, 1e9, [50, 50])],
)
def test_an_epoch_takes_of_each_what_its_weight_says(weights, temperature, expected, caplog):
    caplog.set_level("INFO")
    tsv("held", 4)
    corpus = mix(
        {"a": tsv("a", 95, validation="held.tsv", test="held.tsv"), "b": tsv("b", 5)},
        weights=weights,
        temperature=temperature,
        tags={"b": "<bt>"},
    )
    text = corpus.splits().train
    caplog.clear()
    draws = draws_of(text, corpus.proportions(), seed=1)
    times = [f"{count / size:.3g}" for count, size in zip(expected, (95, 5), strict=True)]
    assert caplog.messages == [f"an epoch reads a 95 × {times[0]}, b (<bt>) 5 × {times[1]}"]
    for epoch in range(3):
        names = [text[int(row)]["source"].removeprefix("<bt> ")[0] for row in draws.shard(epoch, 0, 10_000)]
        assert [names.count("a"), names.count("b")] == expected


def test_a_corpus_of_which_nothing_is_left_is_told_and_read_never(caplog):
    corpus = mix({"a": tsv("a", 30), "b": tsv("b", 40)})
    text = corpus.splits().train
    left = text.select([number for number, part in enumerate(text["part"]) if part == 0])
    draws = draws_of(left, corpus.proportions(), seed=1)
    assert "corpus.corpora.b has no pair that can be used" in caplog.messages
    for epoch in range(2):
        assert sorted(draws.shard(epoch, 0, 10_000)) == list(range(len(left)))


def test_cleaning_keeps_the_parts_apart():
    Path("bad.tsv").write_text("x\tZ x\n\tZ\n\tZ\n")
    bad = Tsv(**COMMON, train="bad.tsv", validation=None, test=None, source_column=1, target_column=2)
    rules = {"empty": {"_target_": "dragoman.text.cleaning.Empty"}}
    splits, quarantine = clean(mix({"a": tsv("a", 30), "bad": bad}), rules, lambda items, what, total: items)
    assert quarantine is not None
    total = Counter(number for split in splits for number in split["part"])
    assert total[0] == 30
    assert total[1] >= 1
    assert draws_of(splits.train, mix({"a": tsv("a", 30), "bad": bad}).proportions(), 1).total == len(splits.train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"c": 1}}, r"corpus\.weights names 'c', but corpus\.corpora has a, b"),
        ({"tags": {"c": "<x>"}}, r"corpus\.tags names 'c'"),
        ({"weights": {"a": 0}}, r"corpus\.weights\.a is 0, but must be a number above 0"),
        ({"weights": {"a": "many"}}, r"corpus\.weights\.a is 'many'"),
        ({"temperature": 0}, r"corpus\.temperature is 0"),
        ({"temperature": 0.01}, r"corpus\.temperature is 0.01, but must be at least 0.1"),
        ({"temperature": "hot"}, r"corpus\.temperature"),
        ({"corpora": {}}, r"corpus\.corpora must name one corpus or more"),
        ({"corpora": {"a": {"train": "x"}}}, r"corpus\.corpora must name"),
    ],
)
def test_what_cannot_be_mixed_is_refused(changes, message):
    corpora = changes.pop("corpora", None)
    with pytest.raises(InputError, match=message):
        mix({"a": tsv("a", 3), "b": tsv("b", 3)} if corpora is None else corpora, **changes)


def test_a_mix_comes_out_of_a_configuration():
    tsv("a", 3)
    part = {"_target_": "dragoman.text.corpus.Tsv", **COMMON, "train": "a.tsv", "validation": None, "test": None}
    part |= {"source_column": 1, "target_column": 2}
    whole = {"_target_": "dragoman.text.mixing.Mix", **COMMON, "corpora": {"a": part}, "weights": {}, "tags": {}}
    assert build(whole | {"temperature": 1.0}).read("train")["source"][:] == ["a 0", "a 1", "a 2"]
