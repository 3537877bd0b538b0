"""Exported folders: written whole or not at all, loaded like runs, harmless to whoever loads one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from conftest import Runs
from dragoman.errors import InputError
from dragoman.export.export import export_run
from dragoman.export.huggingface import write_tokenizer
from dragoman.exported import CARD, Exported
from dragoman.ids import BOS, EOS, PAD, UNK
from dragoman.models import Transformer
from dragoman.run import begin_run
from dragoman.search import Beam, Greedy, Sampling
from dragoman.text import pocket
from dragoman.text.tokenizer import CONTROLS, SentencePiece, Tokenizers
from dragoman.translator import Translator
from dragoman.weights import write_weights
from scripts_for_tests import call, done, environment, lines

PAIRS = list(pocket.generate("train", size=300, seed=7))
LENGTHS = {"max_source": 120, "length_ratio": 1.0, "length_extra": 8}
GREEDY = {"_target_": "dragoman.search.Greedy"} | LENGTHS
BEAM = {"_target_": "dragoman.search.Beam", "beam": 3, "length_penalty": 1.0, "nbest": 1} | LENGTHS
FUSED = {"_target_": "dragoman.attention.Fused", "_partial_": True}
SPEECH = "The dog ran.\n\nThe hen, which was tired, sleeps.\n   \nA cat sees the bank.\n"


def tokenizers(**changes: Any) -> Tokenizers:
    settings = {
        "model_type": "unigram",
        "vocab_size": 400,
        "joint": True,
        "byte_fallback": True,
        "character_coverage": 1.0,
        "symbols": None,
        "normalisation": None,
    }
    source, target = ([pair[side] for pair in PAIRS] for side in (0, 1))
    return SentencePiece(**(settings | changes)).train(source, target)


def begun(folder: Path, search: dict[str, Any], joint: bool = True, **changes: Any) -> Path:
    """A run whose weights are drawn at random, not trained."""
    both = tokenizers(joint=joint)
    model = {
        "_target_": "dragoman.models.Transformer",
        "source_vocab_size": len(both.source), "target_vocab_size": len(both.target),
        "dim": 32, "num_heads": 4, "num_kv_heads": 4, "feed_forward_dim": 32, "encoder_layers": 1, "decoder_layers": 1,
        "max_length": 128, "norm": "pre", "feed_forward": "relu", "positions": "sinusoidal",
        "tied_embeddings": "all" if joint else "none",
        "dropout": 0.0, "feed_forward_dropout": 0.0, "attention_dropout": 0.0,
        **{f"{place}_attention": FUSED for place in ("encoder", "decoder", "cross")},
    } | changes  # fmt: skip
    corpus = {"_target_": "dragoman.text.corpus.Pocket", "source_language": "en", "target_language": "fr", "seed": 1,
              "train_size": 20, "validation_size": 20, "test_size": 20}  # fmt: skip
    begin_run(folder, {"model": model, "search": search, "corpus": corpus, "tokenizer": {}}, both)
    torch.manual_seed(1)
    write_weights(folder / "best.ckpt", decided(folder).state_dict())
    return folder


def decided(folder: Path) -> Transformer:
    """A new model of the run's shape, sharper than at its first step, so that no two words are level."""
    config = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    from dragoman.build import build

    model: Transformer = build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def exported(run: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "to": "ctranslate2", "quantization": None, "output": None, "source": None, "reference": None, "sentences": 3,
        "search": None, "device": "cpu", "batch_tokens": 500,
    }  # fmt: skip
    return export_run(str(run), **(settings | changes))[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun(tmp_path_factory.mktemp("runs") / "run", GREEDY)


@pytest.fixture(scope="module")
def folder(run: Path) -> Path:
    """The same, exported to CTranslate2. To be left as it is."""
    return exported(run)


@pytest.mark.parametrize("joint", [True, False])
def test_a_translator_loads_an_exported_folder_as_if_it_were_the_run(joint, tmp_path):
    run = begun(tmp_path / "run", GREEDY, joint)
    folder = exported(run)
    assert folder == run / "ctranslate2"
    given = [*SPEECH.split("\n"), *(pair[0] for pair in PAIRS[:40]), " ".join(pair[0] for pair in PAIRS[:12])]
    ours, theirs = (list(Translator.load(one).translate(given)) for one in (run, folder))
    assert [one[0].text for one in theirs] == [one[0].text for one in ours]
    assert [one[0].tokens for one in theirs] == [one[0].tokens for one in ours]
    assert [one[0].at_limit for one in theirs] == [one[0].at_limit for one in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert other[0].log_probability == pytest.approx(one[0].log_probability, abs=0.01 * (one[0].tokens + 1))
    assert len({one[0].text for one in ours}) > 30


def test_nbest_and_another_search_are_the_callers_to_choose(folder):
    search = Beam(beam=4, length_penalty=1.0, nbest=3, **LENGTHS)
    found = list(Translator.load(folder, search=search).translate([pair[0] for pair in PAIRS[:10]]))
    assert {len(one) for one in found} == {3}
    for one in found:
        assert one == sorted(one, key=lambda translation: -translation.score)
        assert all(t.score == pytest.approx(t.log_probability / ((5 + t.tokens) / 6)) for t in one)
    assert Translator.load(folder).search.beam == 1  # type: ignore[attr-defined]


def test_what_an_exported_model_cannot_do_is_said_in_a_sentence(run, folder):
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, nbest=1, seed=1, **LENGTHS)
    for message, load in {
        "can repeat `search` Sampling: choose greedy or beam": partial(Translator.load, folder, search=sampling),
        "`alignment=true` needs attention weights": partial(Translator.load, folder, aligned=True),
        "is not a run folder": partial(Translator.load, [folder, run]),
        "knows no test set: give `source=` and `reference=`": Exported(folder).corpus,
        "must not exceed the model's `max_length` \\(128\\)": partial(
            Translator.load, folder, search=Greedy(**(LENGTHS | {"max_source": 129}))
        ),
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            load()  # type: ignore[operator]
        assert "\n" not in str(caught.value)


def test_an_export_is_refused_before_anything_is_written(run, tmp_path):
    output = tmp_path / "folder" / "there"
    there = tmp_path / "there"
    there.mkdir()
    sampling = {"_target_": "dragoman.search.Sampling", "temperature": 1.0, "top_k": 0, "top_p": 1.0, "nbest": 1}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"to": "marian"}, r"`to` \(marian\) must be ctranslate2 or huggingface"),
        ({"quantization": "int4"}, r"`quantization` \(int4\) must be one of int8, "),
        ({"to": "huggingface", "quantization": "int8"}, "is CTranslate2's: leave it out"),
        ({"output": there}, "exists already: remove it, or give another `output=`"),
        ({"sentences": 0}, r"`sentences` \(0\) must be at least 1"),
        ({"source": "x"}, "Give both `source=` and `reference=`"),
        ({"search": sampling | {"seed": 1} | LENGTHS}, "choose greedy or beam"),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            exported(run, **({"output": output} | changes))
        assert not output.parent.exists() or list(output.parent.iterdir()) == []
    answer = call("export", f"run=[{run},{run}]", "to=ctranslate2")
    assert (answer.status, answer.err) == (1, "`run` must be one run folder: an ensemble cannot be exported.\n")


def test_a_model_that_a_format_cannot_hold_leaves_nothing_behind(tmp_path):
    run = begun(tmp_path / "run", GREEDY, positions="alibi")
    before = sorted(run.rglob("*"))
    for to in ("ctranslate2", "huggingface"):
        with pytest.raises(InputError, match=r"cannot express `model.positions: alibi`"):
            exported(run, to=to)
    assert sorted(run.rglob("*")) == before


def test_the_commands_end_to_end(trained: Runs, place: Path):
    """A trained run, both formats, and the scripts that take an exported folder."""
    shutil.copytree(trained.first, place / "run", ignore=shutil.ignore_patterns("ctranslate2*", "huggingface"))
    (place / "in.en").write_text(SPEECH)
    (place / "in.fr").write_text("Le chien a couru.\n\nLa poule dort.\n\nUn chat voit la banque.\n")
    files = ("source=in.en", "reference=in.fr")
    for name, *arguments in (
        ("ctranslate2", "to=ctranslate2"),
        ("ctranslate2-int8", "to=ctranslate2", "quantization=int8"),
        ("huggingface", "to=huggingface", "sentences=4"),
    ):
        said = done(call("export", "run=run", *arguments, *(files if name == "ctranslate2" else ())))
        header, _, ours, theirs, blank, signature = lines(said.out)
        assert header.startswith("| engine | BLEU |")
        assert ours.startswith("| dragoman |")
        assert theirs.startswith(f"| {name} |")
        assert blank == ""
        assert signature.startswith("nrefs:1|")
        assert said.err == f"exported to run/{name}\n"
        report = json.loads((place / "run" / name / "export.json").read_text())
        first, second = report["engines"]
        assert first["identical"] == 1
        assert 0.3 <= second["identical"] <= 1 if "int8" in name else second["identical"] == 1
        assert second["bleu"]["value"] == pytest.approx(first["bleu"]["value"], abs=15 if "int8" in name else 1e-6)
        assert report["sentences"] == {"ctranslate2": 5, "ctranslate2-int8": 20, "huggingface": 4}[name]
    answers = [done(call("translate", f"run={run}", given=SPEECH)).out for run in ("run", "run/ctranslate2")]
    assert answers[0] == answers[1]
    assert len(lines(answers[0])) == 5
    done(call("evaluate", "run=run", *files, "output=ours"))
    done(call("evaluate", "run=run/ctranslate2", *files, "output=theirs"))
    ours_text, theirs_text = ((place / name / "hypotheses.txt").read_text() for name in ("ours", "theirs"))
    assert ours_text == theirs_text
    done(call("synthesise", "run=run/ctranslate2-int8", "source=in.en", "output=made.tsv", "as=distillation"))
    again = call("export", "run=run", "to=ctranslate2")
    assert (again.status, again.out) == (1, "")
    assert again.err == "run/ctranslate2 exists already: remove it, or give another `output=`.\n"


# --- Hugging Face's tokenizer ---

TRICKY = [
    "The dog ran.", "", "   ", " leading", "trailing ", "two  spaces", "tab\there", "ﬁ ligature № ½", "a\u00a0b",
    "“quotes” ‘and’ „more“", "</s> literal <pad> <unk> <s>", "A</s>B", "日本語 テスト", "🎉👩\u200d👩\u200d👧",
    "e\u0301 é", "▁ meta ▁x", "\u200b",
    "<0x41> byte", "\x00\x01 control", "ＦＵＬＬ ｗｉｄｔｈ", "don't can't . , !", "한국어", "ا\u0644ع", "a" * 100,
    "<2de> tag", "x<2de>y", "...",
    "a >>de<< b", "n't 's re", "\u2028 line", "I 'm x . y , z",
]  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "unigram": {},
    "bpe": {"model_type": "bpe"},
    "separate": {"joint": False},
    "without bytes": {"byte_fallback": False},
    "symbols": {"symbols": ["<2de>", "<bt>"]},
    "nothing normalised": {"normalisation": []},
    "quotes": {"normalisation": ["nfc", "quotes"], "model_type": "bpe", "joint": False},
}


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model_type", ["marian", "blenderbot"])
def test_transformers_tokenizer_gives_our_ids_and_our_text(kind, model_type, tmp_path):
    ours = tokenizers(**KINDS[kind])
    write_tokenizer(ours, tmp_path, 128)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert [theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id, theirs.unk_token_id] == [PAD, BOS, EOS, UNK]
    decoded = 0
    for text in TRICKY:
        assert theirs(text)["input_ids"] == [*ours.source.encode(text), EOS], text
        ids = ours.target.encode(text)
        assert theirs(text_target=text)["input_ids"] == [*ids, EOS], text
        if UNK not in ids:  # which is dropped there, and " ⁇ " here
            found = theirs.decode([BOS, *ids, EOS, PAD], skip_special_tokens=True)
            assert found.translate(CONTROLS).strip() == ours.target.decode(ids).strip(), text  # theirs keeps them
            decoded += 1
    assert decoded >= (len(TRICKY) if ours.source.encode("日") != [UNK] and kind != "without bytes" else 8)


def test_what_only_transformers_reads_generates_our_translations(tmp_path):
    run = begun(tmp_path / "run", BEAM | {"beam": 1}, positions="learned")
    folder = exported(run, to="huggingface")
    with pytest.raises(InputError, match="was exported for huggingface: load it there"):
        Translator.load(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    given = [pair[0] for pair in PAIRS[:20]]
    ours, same = Translator.load(run)(given), 0
    for line, translation in zip(given, ours, strict=True):
        batch = tokenizer(line, return_tensors="pt")
        limit = batch["input_ids"].shape[1] + LENGTHS["length_extra"]
        written = model.generate(**batch, max_new_tokens=limit, max_length=None)
        same += tokenizer.decode(written[0], skip_special_tokens=True) == translation.strip()
    assert same == 20
    assert len(set(ours)) > 15


# --- Folders of strangers ---

CANARY = Path("canary")


@pytest.fixture
def theirs(folder: Path, place: Path) -> Path:
    shutil.copytree(folder, place / "theirs")
    return Path("theirs")


def card(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = yaml.safe_load((folder / CARD).read_text()) | changes
        (folder / CARD).write_text(yaml.safe_dump(content))

    return change


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def shortened(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-100])


def flipped(folder: Path) -> None:
    content = bytearray((folder / "model.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.bin").write_bytes(bytes(content))


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tag": (text(CARD, "x: !!python/object/apply:os.mkdir [canary]\n"), "is not plain YAML"),
    "an alias": (text(CARD, "a: &a [1]\nb: *a\n"), "is not plain YAML: it holds an alias"),
    "no mapping": (text(CARD, "- 1\n"), "is not a"),
    "empty": (text(CARD, ""), "is not a"),
    "another class": (card(search={"_target_": "os.mkdir", "path": "canary"}), "is not one of Dragoman's classes"),
    "inside the search": (card(search=GREEDY | {"max_source": {"_target_": "os.mkdir", "path": "canary"}}), "refused"),
    "no search": (card(search=None), "lacks `search`"),
    "no beam": (card(search={"_target_": "dragoman.text.tokenizer.SentencePiece"}), "search"),
    "sampling": (
        card(search={"_target_": "dragoman.search.Sampling", "temperature": 1.0, "top_k": 0, "top_p": 1.0, "nbest": 1,
                     "seed": 1} | LENGTHS),
        "choose greedy or beam",
    ),
    "a newer format": (card(format=2), "has format 2; this version of Dragoman reads format 1: update Dragoman"),
    "another engine": (card(engine="os.mkdir"), "was exported for os.mkdir"),
    "a path for a number": (card(max_length="/etc/passwd"), r"`max_length` \(/etc/passwd\) must be a whole number"),
    "a length that lies": (card(max_length=1), r"`max_length` \(1\) must be a whole number"),
    "damaged weights": (flipped, "model.bin is not what was exported"),
    "half of the weights": (shortened("model.bin"), "model.bin is not what was exported"),
    "no weights": (lambda folder: (folder / "model.bin").unlink(), "model.bin is missing"),
    "a damaged tokenizer": (shortened("tokenizer.model"), "tokenizer.model is not a SentencePiece model|vocabulary"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.model").unlink(), "holds no tokenizer"),
    "another vocabulary": (text("shared_vocabulary.json", '["a"]'), "is not the vocabulary of the tokenizer"),
    "no vocabulary": (lambda folder: (folder / "shared_vocabulary.json").unlink(), "is missing or damaged"),
    "a deep vocabulary": (text("shared_vocabulary.json", "[" * 10**5), "is missing or damaged"),
    "a damaged configuration": (text("config.json", "{"), "cannot be loaded by CTranslate2"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "two kinds of vocabulary": (text("source_vocabulary.json", "[]"), "is not the vocabulary of the tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_of_theirs_is_executed_and_damage_is_told(theirs, attack):
    arm, message = ATTACKS[attack]
    arm(theirs)
    before = sorted(theirs.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        Translator.load(theirs)(["The hen runs."])
    assert "\n" not in str(caught.value)
    assert not CANARY.exists()
    assert sorted(theirs.rglob("*")) == before


def test_what_else_lies_in_the_folder_is_not_read(folder, theirs):
    for name in ("source_vocabulary.txt", "shared_vocabulary.txt", "vmap.txt", "best.ckpt", "config.yaml"):
        (theirs / name).write_text("<unk>\n!!python/object/apply:os.mkdir [canary]\n")
    assert Translator.load(theirs)(["The hen runs."]) == Translator.load(folder)(["The hen runs."])
    assert not CANARY.exists()


def test_an_exported_folder_says_what_it_is_and_names_no_path(folder, run):
    files = {path.name for path in folder.iterdir()}
    assert files == {"model.bin", "config.json", "shared_vocabulary.json", "tokenizer.model", CARD, "export.json"}
    content = yaml.safe_load((folder / CARD).read_text())
    assert content.pop("sha256")
    expected = {"format": 1, "engine": "ctranslate2", "quantization": "float32", "max_length": 128, "search": GREEDY}
    assert content == expected
    assert str(run) not in (folder / CARD).read_text()


def test_only_who_opens_an_exported_folder_waits_for_its_engine(run, folder):
    code = (
        "import sys; from dragoman.translator import Translator;"
        "Translator.load(sys.argv[1])(['The hen runs.']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = [
        subprocess.run(
            [sys.executable, "-c", code, str(one)], env=environment(), capture_output=True, text=True, check=True
        ).stdout.split()
        for one in (run, folder)
    ]
    assert not {"ctranslate2", "transformers"} & {*loaded[0]}
    assert "ctranslate2" in loaded[1]
    assert not {"transformers", "lightning", "datasets", "hydra"} & {*loaded[1]}


def test_without_the_engine_the_sentence_says_how_to_get_it(run, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(InputError, match="needs CTranslate2: `pip install ctranslate2`"):
        Translator.load(folder)
