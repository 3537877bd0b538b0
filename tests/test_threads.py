"""One translator, many callers: threads, grad modes and forked processes all get what a single caller gets."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from conftest import Runs
from dragoman import batching
from dragoman.attention import record
from dragoman.errors import InputError
from dragoman.search import Beam, Greedy, Sampling, Search
from dragoman.translator import Translation, Translator
from scripts_for_tests import environment

THREADS, LINES = 8, 6  # lines of each thread
LENGTHS: dict[str, Any] = {"max_source": 40, "length_ratio": 1.0, "length_extra": 4}
SEARCHES: dict[str, Search] = {
    "greedy": Greedy(**LENGTHS),
    "beam": Beam(beam=3, nbest=2, length_penalty=1.0, **LENGTHS),
    "sampling": Sampling(temperature=1.0, top_k=0, top_p=0.9, nbest=2, seed=3, **LENGTHS),
}


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns every ten microseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture(scope="module")
def sentences(trained: Runs) -> list[str]:
    return (trained.folder / "data" / "train.en").read_text("utf-8").split("\n")[: THREADS * LINES]


def found_by(translator: Translator, lines: list[str]) -> list[list[Translation]]:
    return list(translator.translate(lines, chunk=2))


@pytest.mark.parametrize("name", SEARCHES)
def test_threads_that_share_a_translator_get_what_one_gets(trained: Runs, sentences: list[str], name: str) -> None:
    """Alignments too, for which the model is watched while others use it."""
    translator = Translator.load(trained.first, search=SEARCHES[name], aligned=True)
    shares = [sentences[number::THREADS] for number in range(THREADS)]
    alone = [found_by(translator, share) for share in shares]
    together = threading.Barrier(THREADS)

    def work(share: list[str]) -> list[list[Translation]]:
        together.wait()
        return found_by(translator, share)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, shares)) == alone
    assert len({best.text for found in alone for best, *_ in found}) > THREADS
    assert sum(len(best.alignment) for found in alone for best, *_ in found) > THREADS * LINES


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SEARCHES)
def test_batches_side_by_side_are_batches_one_by_one(
    trained: Runs, sentences: list[str], name: str, four_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator.load(trained.first, search=SEARCHES[name], aligned=True, batch_tokens=60)
    found = list(translator.translate(sentences))
    assert torch.get_num_threads() == 4
    monkeypatch.setattr(batching, "MOST", 1)
    alone = list(translator.translate(sentences))
    assert [[best.text for best in one] for one in found] == [[best.text for best in one] for one in alone]
    scores, others = ([best.score for one in side for best in one] for side in (found, alone))
    assert scores == pytest.approx(others, abs=1e-4)


def test_batches_share_the_threads_and_keep_their_order(four_threads: None) -> None:
    """Each of the workers waits until all are there, so they were at work together."""
    together = threading.Barrier(batching.MOST)

    def make(number: int) -> tuple[int, int]:
        together.wait(60)
        return number, torch.get_num_threads()

    numbers = list(range(3 * batching.MOST))
    assert batching.side_by_side(make, numbers, torch.device("cpu"), torch.get_num_threads()) == [
        (number, 1) for number in numbers
    ]
    assert torch.get_num_threads() == 4


def test_a_thread_that_begins_beside_workers_has_all_threads_again(four_threads: None) -> None:
    """What a worker sets is also what other threads begin with."""
    inside, leave = threading.Barrier(2), threading.Event()

    def hold(number: int) -> int:
        if number == 0:
            inside.wait(60)
            leave.wait(60)
        return number

    def count(batches: int) -> int:
        batching.side_by_side(int, range(batches), torch.device("cpu"), 4)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(2) as later:
        busy = first.submit(batching.side_by_side, hold, range(2), torch.device("cpu"), 4)
        inside.wait(60)
        assert list(later.map(count, (1, 3))) == [4, 4]
        leave.set()
        assert busy.result() == [0, 1]
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == 4


def test_what_one_batch_fails_with_is_raised(four_threads: None) -> None:
    def fail(number: int) -> int:
        if number == 5:
            raise InputError("five")
        return number

    with pytest.raises(InputError, match="five"):
        batching.side_by_side(fail, range(9), torch.device("cpu"), torch.get_num_threads())
    assert torch.get_num_threads() == 4


def test_a_recording_sees_its_own_thread_alone(trained: Runs, sentences: list[str]) -> None:
    translator = Translator.load(trained.first, search=SEARCHES["greedy"])
    with record(translator.model) as seen:
        translator(sentences[:1])
        before = {name: one.weights_BHTS for name, one in seen.items()}
        other = threading.Thread(target=translator, args=(sentences[1:],))
        other.start()
        other.join()
        assert len(before) > 2
        assert all(one.weights_BHTS is before[name] for name, one in seen.items())
    assert seen.keys() == before.keys()


def test_grad_modes_of_the_caller_do_not_matter(trained: Runs, sentences: list[str]) -> None:
    translator = Translator.load(trained.first, search=SEARCHES["beam"], aligned=True)
    alone = found_by(translator, sentences[:4])
    for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
        with mode:
            assert found_by(translator, sentences[:4]) == alone
    with ThreadPoolExecutor(1) as pool:  # a fresh thread begins with gradients on
        assert pool.submit(torch.is_grad_enabled).result()
        assert pool.submit(found_by, translator, sentences[:4]).result() == alone


FORK = """
import os, sys, torch
from dragoman.translator import Translator
translate, lines = Translator.load(sys.argv[1], aligned=True), sys.stdin.read().split("\\n")
alone = list(translate.translate(lines))
assert torch.get_num_threads() == 2
large = torch.ones(1 << 22)
large.add(large)  # both threads are at work
child = os.fork()
if not child:
    texts = [[best.text for best in found] for found in translate.translate(lines)]
    large.add(large)
    os._exit(texts != [[best.text for best in found] for found in alone])
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_forked_process_may_use_it(trained: Runs, sentences: list[str]) -> None:
    """Also where its parent computes on several threads, for which OpenMP would wait for ever."""
    command, variables = [sys.executable, "-c", FORK, str(trained.first)], environment() | {"OMP_NUM_THREADS": "2"}
    given = "\n".join(sentences[:4]).encode()
    answer = subprocess.run(command, input=given, env=variables, capture_output=True, timeout=100, check=False)
    assert (answer.returncode, answer.stderr) == (0, b"")
