"""Laws of the translator, the tokenizers and the alignment, from inside: order, batches, cutting, words, odd text."""

import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch

from conftest import Runs
from dragoman.batching import in_batches
from dragoman.build import build
from dragoman.console import render
from dragoman.errors import InputError
from dragoman.ids import BOS, EOS, PAD, UNK
from dragoman.search import Beam, Greedy
from dragoman.text.tokenizer import JOINT, SOURCE, TARGET, SentencePiece, Tokenizer, Tokenizers
from dragoman.translator import SENTENCE_END, Translation, Translator, cut_points, join
from scripts_for_tests import environment

LENGTHS = {"max_source": 40, "length_ratio": 1.0, "length_extra": 4}


@pytest.fixture(scope="module")
def translator(trained: Runs) -> Translator:
    return Translator.load(trained.first, search=Greedy(**LENGTHS), aligned=True)


@pytest.fixture(scope="module")
def tokenizer(trained: Runs) -> Tokenizer:
    return Tokenizers.load(trained.first).source


@pytest.fixture(scope="module")
def sentences(trained: Runs) -> list[str]:
    return (trained.folder / "data" / "train.en").read_text("utf-8").split("\n")[:30]


# --- Sentences → sentences ---


def test_a_translation_does_not_depend_on_its_neighbours_or_their_order(trained, sentences):
    translator = Translator.load(trained.first, search=Greedy(**LENGTHS))
    alone = [translator([line])[0] for line in sentences]
    assert len(set(alone)) > 10
    shuffled = random.Random(1).sample(range(len(sentences)), len(sentences))
    for batch_tokens in (1, 100, 10**6):
        translator.batch_tokens = batch_tokens
        assert translator(sentences) == alone
        assert translator(sentences[i] for i in shuffled) == [alone[i] for i in shuffled]
        assert [found[0].text for found in translator.translate(sentences, chunk=7)] == alone


def test_lines_are_read_only_as_they_are_asked_for(translator, sentences):
    lines = iter(sentences[:9])
    found = translator.translate(lines, chunk=3)
    next(found)
    assert list(lines) == sentences[3:9]


@pytest.mark.parametrize("text", ["A dog runs.", ""])
def test_a_text_is_not_taken_for_a_list_of_its_characters(translator, text):
    with pytest.raises(InputError, match="Give a list of lines, not one text"):
        translator(text)
    with pytest.raises(InputError, match="Give a list of lines, not one text"):
        next(translator.translate(text))


def test_lines_without_words_become_empty_lines(translator):
    blank = ["", " ", "\t", "\r", " \t\x1f\x85\u2028\xa0\u3000", "\u200b", "\ufeff", "\x01"]
    assert translator([*blank, "The hen runs.", *blank]) == ["", *[""] * 7, translator(["The hen runs."])[0], *[""] * 8]


def test_a_search_that_reaches_further_than_the_model_is_refused(trained):
    with pytest.raises(
        InputError, match=r"`search.max_source` \(1025\) must not exceed the model's `max_length` \(1024\)"
    ):
        Translator.load(trained.first, search=Greedy(**(LENGTHS | {"max_source": 1025})))


def test_an_ensemble_of_one_run_twice_is_the_run(trained, sentences):
    beam = Beam(beam=3, length_penalty=1.0, nbest=2, **LENGTHS)
    once, twice = (
        [[t.text for t in found] for found in Translator.load(run, search=beam).translate(sentences[:12])]
        for run in (trained.first, [trained.first, trained.first])
    )
    assert once == twice
    other = Translator.load([trained.first, trained.second], search=beam)(sentences[:12])
    assert other != [found[0] for found in once]


# --- Batches, cuts and joins ---


def test_batches_hold_every_line_once_within_the_budget():
    generator, single = random.Random(2), 0
    for _ in range(300):
        lengths = [generator.randrange(1, 60) for _ in range(generator.randrange(40))]
        budget = generator.randrange(1, 200)
        batches = list(in_batches(lengths, budget))
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        for batch in batches:
            assert batch
            assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget
            single += len(batch) == 1 and lengths[batch[0]] > budget
    assert single > 50  # lines longer than the budget were among them


def words_of(generator: random.Random) -> list[str]:
    """Random pieces: words of one or more, some of which end a sentence."""
    pieces: list[str] = []
    for _ in range(generator.randrange(1, 40)):
        pieces += ["▁" + generator.choice("abc")] + [
            generator.choice("xyz") for _ in range(generator.choice((0, 1, 9)))
        ]
        if generator.random() < 0.3:
            pieces += generator.choice((["."], ["?", "”"], ["!)"], ["."], ["…"]))
    return pieces


def test_a_long_line_is_cut_at_sentence_ends_then_between_words_then_anywhere():
    generator, cut_at = random.Random(3), {"sentence": 0, "word": 0, "anywhere": 0}
    for _ in range(2000):
        pieces, limit = words_of(generator), generator.randrange(1, 25)
        ends = cut_points(pieces, limit)
        assert ends[-1] == len(pieces)
        for start, end in zip([0, *ends], ends, strict=False):
            assert 0 < end - start <= limit
            if end == len(pieces):
                continue
            inside = range(start + 1, start + limit + 1)
            words = [i for i in inside if pieces[i].startswith("▁")]
            after_sentences = [i for i in words if SENTENCE_END.search(pieces[i - 1])]
            kind = "sentence" if after_sentences else "word" if words else "anywhere"
            assert end == {"sentence": after_sentences, "word": words, "anywhere": [start + limit]}[kind][-1]
            cut_at[kind] += 1
    assert min(cut_at.values()) > 200, cut_at


def test_parts_join_rank_by_rank_with_their_words_counted_on():
    parts = [
        [Translation("a b", -1.0, [(0, 0), (1, 1)]), Translation("c", -3.0, [(1, 0)])],
        [Translation("", -0.5, []), Translation("d\xa0e", -0.7, [(2, 0), (2, 1)])],
        [Translation("f", -2.0, [(4, 0)]), Translation("g", -4.0, [(3, 0)]), Translation("h", -5.0, [])],
    ]
    assert join(parts) == [
        Translation("a b f", -3.5, [(0, 0), (1, 1), (4, 2)]),
        Translation("c d\xa0e g", -7.7, [(1, 0), (2, 1), (2, 2), (3, 3)]),
    ]
    assert join([]) == [Translation("", 0.0, [])]


def test_a_long_line_is_the_join_of_its_cut_parts_and_is_warned_of(translator, sentences, caplog):
    line = " ".join(sentences[:8])
    whole = next(translator.translate(["", line]))
    whole = list(translator.translate(["", line]))[1][0]
    assert "Line 2 has" in caplog.text
    tokens, ids = translator.tokenizers.source, translator.tokenizers.source.encode(line)
    ends = cut_points(tokens.pieces(ids), translator.search.max_source - 1)
    assert len(ends) > 5
    parts = [tokens.decode(ids[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    assert " ".join(part.strip() for part in parts) == line
    assert whole.text == " ".join(translator(parts))


# --- Words ---

ODD_LINES = [
    "The hen runs.", " The  hen ",
    "a\u200bb \u200b c\u200b", "a\x01b \x1c c", "x\u2581y the", "\u3000東 京\xa0d\u2028e",
    "😀😀 \ufeffthe", "e\u0301 \u0301 x", "\udcff lone \ud800", "ﬁ ½ Å", "\x7f a", "hen\r",
]  # fmt: skip


def test_words_are_those_that_white_space_parts_whatever_the_normalisation_does(tokenizer, sentences):
    """The last character of each piece of text lies in the word that the piece is said to be of."""
    checked = 0
    for line in [*ODD_LINES, *sentences]:
        ids, words = tokenizer.encode(line), tokenizer.words(line)
        assert len(words) == len(ids)
        assert words == sorted(words)
        assert all(0 <= word < len(line.split()) for word in words)
        checked += len(words)
    assert checked > 500
    for line in sentences[:-1]:  # plain text: a word for every mark of a word's beginning
        marks = [piece.startswith("▁") for piece in tokenizer.pieces(tokenizer.encode(line))]
        assert tokenizer.words(line) == [sum(marks[: i + 1]) - 1 for i in range(len(marks))]


def test_any_ids_have_words_of_their_decoded_text(tokenizer):
    generator, several = random.Random(4), 0
    for _ in range(3000):
        ids = [generator.randrange(len(tokenizer)) for _ in range(generator.randrange(12))]
        text, words = tokenizer.decode(ids), tokenizer.decoded_words(ids)  # byte pieces spell control characters, too
        assert len(words) == len(ids)
        if text.split():
            assert sorted(set(words)) == list(range(len(text.split())))  # every word has a piece
            several += len(set(words)) > 2
        else:
            assert set(words) <= {-1}
    assert several > 300


def test_every_target_word_is_aligned_to_one_source_word(translator, sentences):
    long = " ".join(sentences[:8])
    lines, aligned = [*ODD_LINES, *sentences, long, "", long.replace(" ", "\u200b")], 0
    for line, found in zip(lines, translator.translate(lines), strict=True):
        pairs = found[0].alignment
        assert [target for _, target in pairs] == list(range(len(found[0].text.split())))
        assert all(0 <= source < len(line.split()) for source, _ in pairs)
        aligned += len(pairs)
    assert aligned > 200
    (best,) = list(translator.translate([long]))
    assert max(source for source, _ in best[0].alignment) > len(long.split()) // 2  # words are counted over the cuts


def test_rendered_lines_hold_what_was_asked_for():
    found = [
        [Translation("x y", -1.25, [(0, 0), (2, 1)]), Translation("z", -2.0, [(1, 0)])],
        [Translation("", 0.0, [])],
    ]
    assert list(render(found, nbest=False, aligned=False)) == ["x y", ""]
    assert list(render(found, nbest=False, aligned=True)) == ["x y ||| 0-0 2-1", " ||| "]
    assert list(render(found, nbest=True, aligned=False)) == [
        "0 ||| x y ||| -1.2500",
        "0 ||| z ||| -2.0000",
        "1 |||  ||| 0.0000",
    ]
    assert next(render(found, nbest=True, aligned=True)) == "0 ||| x y ||| -1.2500 ||| 0-0 2-1"


# --- Tokenizers ---


def test_what_is_encoded_comes_back_and_every_id_has_a_piece(tokenizer, sentences):
    for line in sentences[:-1]:
        ids = tokenizer.encode(line)
        assert tokenizer.decode(ids) == line
        assert not {PAD, BOS, EOS, UNK} & {*ids}
    assert tokenizer.encode_all(sentences) == [tokenizer.encode(line) for line in sentences]
    assert [tokenizer.pieces([i])[0] for i in (PAD, BOS, EOS, UNK)] == ["<pad>", "<s>", "</s>", "<unk>"]
    assert len({*tokenizer.pieces(list(range(len(tokenizer))))}) == len(tokenizer)


def test_special_pieces_in_a_text_are_text(tokenizer):
    for line in ("<pad>", "a </s> b", "<s><unk>", "<0x0A>"):
        assert not {PAD, BOS, EOS, UNK} & {*tokenizer.encode(line)}
        assert tokenizer.decode(tokenizer.encode(line)) == line


def test_characters_never_seen_are_spelt_in_bytes(tokenizer):
    for line in ("東京", "😀", "naïve ñ", "🏳️‍🌈"):
        assert UNK not in tokenizer.encode(line)
        assert tokenizer.decode(tokenizer.encode(line)).replace(" ", "") == line.replace(" ", "")


BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def test_no_ids_decode_to_a_line_break(tokenizer):
    spelt = 0
    pieces = {piece: i for i, piece in enumerate(tokenizer.pieces(list(range(len(tokenizer)))))}
    for character in BREAKS:
        ids = [pieces[f"<0x{byte:02X}>"] for byte in character.encode()]
        raw = tokenizer._processor.decode([UNK, *ids])
        assert character in raw  # without our care it would stand there
        assert len(tokenizer.decode(ids + ids).splitlines() or [""]) == 1
        assert not {*tokenizer.decode(ids)} & {*BREAKS}
        spelt += 1
    assert spelt == len(BREAKS) == 10
    generator = random.Random(5)
    for _ in range(5000):
        text = tokenizer.decode([generator.randrange(len(tokenizer)) for _ in range(20)])
        assert len(text.splitlines()) <= 1


def test_whatever_a_model_can_spell_in_bytes_holds_no_control_character(tokenizer):
    """All pairs of byte pieces, and all characters of up to two bytes: none ends a line or commands a terminal."""
    pieces = {piece: i for i, piece in enumerate(tokenizer.pieces(list(range(len(tokenizer)))))}
    byte = [pieces[f"<0x{number:02X}>"] for number in range(256)]
    spelt = [[byte[a], byte[b]] for a in range(256) for b in range(256)]
    commands = 0
    for ids in [*spelt, *([byte[one] for one in character.encode()] for character in "\u2028\u2029")]:
        text, raw = tokenizer.decode(ids), tokenizer._processor.decode(ids)
        kept = [one for one in text if unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs")]
        assert set(kept) <= {"\t"}
        assert len(text.splitlines()) <= 1
        assert len(text) == len(raw)
        commands += text != raw
    assert commands == 256**2 - 224**2 + 32 + 2  # 32 of a byte in either place, 32 of two bytes, and two of three


def test_half_characters_are_encoded_as_question_marks(tokenizer):
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a?b")
    assert tokenizer.encode_all(["\udcff", "é"]) == [tokenizer.encode("?"), tokenizer.encode("é")]


def settings(**changes: object) -> dict[str, object]:
    return {
        "model_type": "unigram",
        "vocab_size": 340,
        "joint": True,
        "byte_fallback": True,
        "character_coverage": 1.0,
        "symbols": None,
        "normalisation": None,
    } | changes


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_tokenizers_of_one_or_two_vocabularies_survive_a_folder(tmp_path, sentences, joint, model_type):
    french = [line.upper() for line in sentences]
    made = SentencePiece(**settings(joint=joint, model_type=model_type)).train(sentences, french)  # type: ignore[arg-type]
    made.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ([JOINT] if joint else [SOURCE, TARGET])
    loaded = Tokenizers.load(tmp_path)
    assert (loaded.source is loaded.target) == joint
    assert [side.model for side in loaded] == [side.model for side in made]
    assert loaded.target.decode(loaded.target.encode(french[0])) == french[0]
    again = SentencePiece(**settings(joint=joint, model_type=model_type)).train(sentences, french)  # type: ignore[arg-type]
    assert [side.model for side in again] == [side.model for side in made]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vocab_size": 10**6},
            r"`tokenizer.vocab_size` \(1000000\) is larger than this corpus allows: set it to \d+ or less",
        ),
        ({"vocab_size": 260}, r"`tokenizer.vocab_size` \(260\) is too small .*: set it to more than \d+"),
        (
            {"vocab_size": 10**6, "model_type": "bpe"},
            r"`tokenizer.vocab_size` \(1000000\) is larger than this corpus allows",
        ),
        (
            {"vocab_size": 260, "model_type": "bpe"},
            r"`tokenizer.vocab_size` \(260\) is too small .*: set it to more than \d+",
        ),
        ({"vocab_size": 0}, r"tokenizer: `vocab_size` \(0\) must be at least 1"),
        ({"vocab_size": "8k"}, r"tokenizer: `vocab_size` is '8k', but must be a whole number"),
        ({"character_coverage": 0.5}, r"`character_coverage` \(0.5\) between 0.98 and 1"),
        ({"model_type": "wordpiece"}, r"`model_type` \(wordpiece\) must be unigram or bpe"),
        ({"joint": "yes"}, r"tokenizer: `joint` is 'yes', but must be true or false"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused_in_one_line_with_the_number_to_choose(sentences, changes, message):
    config = {"_target_": "dragoman.text.tokenizer.SentencePiece"} | settings(**changes)
    with pytest.raises(InputError, match=message) as caught:
        build(config, path="tokenizer").train(sentences, sentences)
    assert "\n" not in str(caught.value)


def test_the_largest_and_the_smallest_vocabulary_named_in_a_refusal_can_be_had(sentences):
    for asked, kind in ((10**6, "unigram"), (260, "unigram"), (10**6, "bpe"), (260, "bpe")):
        with pytest.raises(InputError) as caught:
            SentencePiece(**settings(vocab_size=asked, model_type=kind)).train(sentences, [])  # type: ignore[arg-type]
        number = int(str(caught.value).split("set it to ")[1].removeprefix("more than ").split(",")[0].split(" ")[0])
        possible = number if asked > number else number + 1
        assert (
            len(SentencePiece(**settings(vocab_size=possible, model_type=kind)).train(sentences, []).source) == possible
        )  # type: ignore[arg-type]


def test_what_goes_wrong_with_the_lines_is_not_sentencepieces_fault():
    for failure in (KeyboardInterrupt(), InputError("line 2 is not text")):

        def lines(failure=failure):
            yield "The hen runs."
            raise failure

        with pytest.raises(type(failure)) as caught:
            SentencePiece(**settings()).train(lines(), [])  # type: ignore[arg-type]
        assert caught.value is failure


# --- What a one-line translation must not wait for ---


def test_the_translator_loads_neither_lightning_nor_datasets_nor_hydra(trained):
    code = (
        "import sys; from dragoman.translator import Translator;"
        "Translator.load(sys.argv[1])(['The hen runs.']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", code, str(trained.first)]
    loaded = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "dragoman", "sentencepiece"} <= {*loaded}
    assert not {"lightning", "datasets", "hydra", "omegaconf", "pyarrow", "sacrebleu", "pandas"} & {*loaded}


def test_a_loaded_model_is_in_eval_mode_and_needs_no_gradient_to_translate(translator):
    assert not any(module.training for module in translator.model.modules())
    with torch.inference_mode():
        assert translator(["The hen runs."])


def test_a_run_folder_may_be_given_in_every_form(trained, sentences):
    forms: list[object] = [
        trained.first,
        str(trained.first),
        Path(trained.first),
        [trained.first],
        (str(trained.first),),
    ]
    assert len({tuple(Translator.load(form)(sentences[:3])) for form in forms}) == 1  # type: ignore[arg-type]
    with pytest.raises(InputError, match="names no run folder"):
        Translator.load([])
