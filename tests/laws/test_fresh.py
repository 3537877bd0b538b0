"""Text that is tokenised as it is read: sampled anew each epoch, or streamed; once an epoch, in order, resumable."""

import pickle
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import datasets
import pytest
import torch

from dragoman.data import fresh
from dragoman.data.batch import Batch
from dragoman.data.fresh import Encoder, ReadText, Sampled, Streamed
from dragoman.data.module import TranslationData
from dragoman.data.reading import Fetching, train_tokenizers
from dragoman.data.sampler import Place, Position
from dragoman.errors import InputError
from dragoman.ids import EOS
from dragoman.text.corpus import Folder, Tsv
from dragoman.text.pocket import generate
from dragoman.text.splits import Proportions
from dragoman.text.tokenizer import SentencePiece

SIZE = 230
PAIRS = [*dict.fromkeys(generate("train", size=400, seed=1))][:SIZE]
SETTINGS = {"batch_tokens": 600, "max_length": 300}
ALPHA = {"sampled": 0.1, "streaming": None, "streaming and sampled": 0.1}
RULES: dict[str, object] = {}


@pytest.fixture(autouse=True)
def small_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(fresh, "SHARD", 50)


@pytest.fixture
def corpus(tmp_path) -> Tsv:
    def put(name: str, pairs: list) -> str:
        (tmp_path / name).write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
        return str(tmp_path / name)

    return Tsv(
        source_language="en",
        target_language="fr",
        train=[put("a.tsv", PAIRS[:100]), put("b.tsv", PAIRS[100:])],
        validation=put("val.tsv", PAIRS[:20]),
        test=put("test.tsv", PAIRS[:20]),
        source_column=1,
        target_column=2,
        validation_size=1,
        test_size=1,
        seed=1,
    )


def module(corpus: Tsv, kind: str, workers: int = 0, seed: int = 3) -> TranslationData:
    alpha = ALPHA[kind]
    reading = Sampled(**SETTINGS, alpha=alpha) if kind == "sampled" else Streamed(**SETTINGS, alpha=alpha)
    splits, _ = reading.cleaned(corpus, RULES, lambda items, what, total: items)
    how = SentencePiece(
        model_type="unigram",
        vocab_size=400,
        joint=True,
        byte_fallback=True,
        character_coverage=1.0,
        symbols=None,
        normalisation=None,
    )
    tokenizers = train_tokenizers(reading, splits.train, how)
    data = TranslationData(splits, tokenizers, reading, Proportions(), seed=seed, num_workers=workers)
    data.setup()
    return data


def at(data: TranslationData, step: int = 0, rank: int = 0, world: int = 1) -> TranslationData:
    data.trainer = SimpleNamespace(
        global_step=step, accumulate_grad_batches=1, global_rank=rank, world_size=world, accelerator=None
    )
    return data


def texts(data: TranslationData, batches: list[Batch]) -> Counter:
    """The pairs in batches, decoded."""
    found: Counter = Counter()
    for batch in batches:
        sides = [[[id for id in row if id > EOS] for row in side.tolist()] for side in batch]
        decoded = [map(tokenizer.decode, rows) for tokenizer, rows in zip(data.tokenizers, sides, strict=True)]
        found.update(zip(*decoded, strict=True))
    return found


def plain(batches: list[Batch]) -> list:
    return [(batch.src_BS.tolist(), batch.tgt_BT.tolist()) for batch in batches]


@pytest.mark.parametrize("kind", ALPHA)
def test_every_pair_is_seen_once_an_epoch(kind, corpus):
    data = at(module(corpus, kind))
    flow = iter(data.train_dataloader())
    spelt = []
    for _ in range(3):
        batches = []
        while sum(len(batch.src_BS) for batch in batches) < SIZE:
            batches.append(next(flow))
        assert texts(data, batches) == Counter(PAIRS)
        assert (
            max(len(batch.src_BS) * max(batch.src_BS.shape[1], batch.tgt_BT.shape[1] - 1) for batch in batches) <= 600
        )
        spelt.append(sum(int((batch.src_BS > EOS).sum()) for batch in batches))
    assert (len(set(spelt)) > 1) == (ALPHA[kind] is not None)  # other segmentations, other lengths


@pytest.mark.parametrize("kind", ALPHA)
def test_workers_change_nothing(kind, corpus):
    flows = [iter(at(module(corpus, kind, workers)).train_dataloader()) for workers in (0, 2)]
    one, two = (plain(list(islice(flow, 70))) for flow in flows)
    assert one == two
    assert len({str(batch) for batch in one}) > 20


@pytest.mark.parametrize("kind", ALPHA)
def test_order_and_segmentation_are_a_function_of_the_seed(kind, corpus):
    first, again, other = (
        plain(list(islice(at(module(corpus, kind, seed=seed)).train_dataloader(), 30))) for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("kind", ALPHA)
def test_a_resumed_run_goes_on_where_it_stopped(kind, world, corpus):
    """By the place that was saved then, within an epoch and behind several; and by counting from the start."""
    data = module(corpus, kind)
    for rank in range(world):
        flow = iter(at(data, 0, rank, world).train_dataloader())
        whole, places = [], []
        for step in range(60):
            whole.append(next(flow))
            places.append(at(data, step + 1, rank, world).state_dict())
        later = sum(place["since"][0] != (0, 0, 0) for place in places)
        assert later > 40
        for seen in (1, 17, 31, 55):
            for since in (places[seen - 1]["since"] * world, None):
                resumed = at(module(corpus, kind), seen, rank, world)
                if since is not None:
                    resumed.load_state_dict({"since": since})
                assert plain(list(islice(resumed.train_dataloader(), 4))) == plain(whole[seen : seen + 4])


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("kind", ALPHA)
def test_the_processes_share_every_epoch(kind, world, corpus):
    seen: Counter = Counter()
    for rank in range(world):
        data = at(module(corpus, kind), 0, rank, world)
        share, batches = len(PAIRS[rank::world]), []
        flow = iter(data.train_dataloader())
        while sum(len(batch.src_BS) for batch in batches) < share:
            batches.append(next(flow))
        seen += texts(data, batches)
    assert seen == Counter(PAIRS)


class Numbered(Streamed):
    """Lines that are numbers, a text's only token its number."""

    def encoder(self, tokenizer: object) -> Encoder:
        return lambda lines, seed: [[int(line)] for line in lines]


@pytest.mark.parametrize(("workers", "shard"), [(0, 0), (2, 0), (3, 0), (0, 2), (2, 2)])
def test_the_sides_of_a_stream_stay_together(workers, shard, tmp_path, monkeypatch):
    """In files larger than what is read of them at once; from their beginning, and resumed."""
    monkeypatch.setattr(fresh, "SHARD", 5000)
    count = 100_000
    for ending in ("en", "fr"):
        padding = "" if ending == "en" else "0" * 20  # sides of different lengths: their places in the files differ
        lines = (f"{padding}{number}\n" for number in range(EOS + 1, EOS + 1 + count))
        (tmp_path / f"train.{ending}").write_text("".join(lines))
    where = {"folder": str(tmp_path), "source_language": "en", "target_language": "fr"}
    cut = {"validation_size": 1, "test_size": 1, "seed": 1}
    folder = Folder(**where, train="train", validation=None, test=None, **cut)
    stream = Numbered(batch_tokens=200, max_length=9, alpha=None).stream(
        ReadText(folder.stream("train")), (None, None), 1, None
    )
    position = Position(0, Place(0, shard, 0), 0, 1)
    batches = list(islice(stream.loader(position, Fetching(workers, False)), 400))
    sources = torch.cat([batch.src_BS[:, 0] for batch in batches])
    assert len(sources) == 40_000
    assert sources.equal(torch.cat([batch.tgt_BT[:, 1] for batch in batches]))
    assert len(sources.unique()) == len(sources)


def test_the_text_of_a_stream_travels_to_a_process_that_is_not_forked(corpus):
    text = ReadText(corpus.stream("train"))
    begun = text.shard(0, 0, 0, 1)
    assert pickle.loads(pickle.dumps(text)).shard(0, 0, 0, 1) == begun
    assert len(begun) == 50


@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1)])
def test_another_number_of_processes_is_refused(before, now, corpus):
    data = at(module(corpus, "streaming"), 3, 0, now)
    with pytest.raises(InputError, match=rf"with {before} .*and {now} would .*`init`"):
        data.load_state_dict({"since": [(0, 0, 0)] * before})


def test_a_stream_leaves_nothing_of_the_training_split_on_the_disk(corpus, tmp_path):
    data = at(module(corpus, "streaming"))
    list(islice(data.train_dataloader(), 40))
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert PAIRS[0][0].encode() in kept  # the validation split
    assert not [pair for pair in PAIRS[20:] if pair[0].encode() in kept]


def test_what_a_stream_cannot_do_is_refused(corpus):
    reading = Streamed(**SETTINGS, alpha=None)
    with pytest.raises(InputError, match=r"cleaning\.empty.*cleaning=none"):
        reading.cleaned(corpus, {"empty": {}, "language": None}, lambda items, what, total: items)
    bare = Tsv(**{**vars(corpus), "test": None})
    with pytest.raises(InputError, match=r"give corpus\.test"):
        reading.cleaned(bare, RULES, lambda items, what, total: items)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_line_of_a_stream_is_told_in_one_sentence(workers, corpus, tmp_path):
    data = at(module(corpus, "streaming", workers))
    with (tmp_path / "b.tsv").open("ab") as file:
        file.write(b"broken\n")
    with pytest.raises(InputError, match=r"^\S+b\.tsv, line 131 has 1 column, [^\n]*$"):
        list(islice(data.train_dataloader(), 60))


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_alpha_is_between_0_and_1(alpha):
    with pytest.raises(ValueError, match="`alpha`"):
        Sampled(**SETTINGS, alpha=alpha)
