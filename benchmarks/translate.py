"""How fast Dragoman translates beside its peers: the same weights, sentences and limits, alternating, on a CPU.

    python benchmarks/translate.py --run checkpoints/NAME --source FILE --reference FILE
    python benchmarks/translate.py --run checkpoints/NAME --source FILE --size base

Prints a Markdown table: sentences and target tokens a second, EOS included, in batches; what one sentence waits for its
translation when it comes alone; peak memory; BLEU of what was translated. The ratios are those of each round, to
`--ours`. Every contender gets ids and gives ids, in a process of its own. CTranslate2 makes its batches itself, of as
many tokens, and has those threads with which it was the faster one in a first round, in batches and alone. JoeyNMT has
an environment of its own, which is made on first use; its search penalises length in another way.

With --size the weights are random, of a model of that size with the run's vocabulary, and every translation is as
long as a sentence of the source is on average: there is nothing to score.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from peers.staging import CACHE, SIZES, run

from dragoman.build import build
from dragoman.errors import InputError
from dragoman.evaluation.scores import bleu
from dragoman.export import ctranslate2, huggingface
from dragoman.exported import all_pieces
from dragoman.ids import EOS
from dragoman.machine import processor
from dragoman.run import BEST, Run, begin_run
from dragoman.search import Beam
from dragoman.text.lines import read_lines
from dragoman.weights import write_weights

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"Dragoman {one}": ("dragoman_translate", {"precision": one}) for one in ("fp32", "bf16", "int8")},
    "CTranslate2 fp32": ("ctranslate2_translate", {"precision": "float32"}),
    "CTranslate2 int8": ("ctranslate2_translate", {"precision": "int8"}),
    "Hugging Face fp32": ("huggingface_translate", {}),
    "JoeyNMT fp32": ("joey_translate", {}),
}
RATIO, EXTRA = 2.0, 20  # the most target tokens: so many for each of the source's, and so many more


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The model in three formats, the sentences as ids, and what all contenders are told."""
    trained = Run(options.run)
    tokenizers = trained.tokenizers()
    sources = tokenizers.source.encode_all(list(read_lines(options.source))[: options.sentences])
    lengths = [len(row) + 1 for row in sources]
    mean = round(statistics.mean(lengths))
    longest, ratio, extra = round(max(lengths) * RATIO + EXTRA), RATIO, EXTRA
    if options.size:
        trained = random_run(trained, folder / "run", options.size)
        longest, ratio, extra = mean, 0.0, mean
    (folder / "sources").write_text("".join(f"{' '.join(map(str, row))}\n" for row in sources))
    search = Beam(beam=4, length_penalty=1.0, nbest=1, max_source=256, length_ratio=ratio, length_extra=extra)
    for name in ("ctranslate2", "huggingface"):
        (folder / name).mkdir()
    ctranslate2.write(trained.model(), tokenizers, folder / "ctranslate2", "float32")
    huggingface.write(trained.model(), tokenizers, folder / "huggingface", search)
    places = {"data": str(folder), "run": str(trained.folder), "sources": str(folder / "sources")}
    torch.save(trained.model().state_dict(), folder / "weights.pt")
    places |= {"weights": str(folder / "weights.pt"), "model": trained.config["model"]}
    places |= {name: str(folder / name) for name in ("ctranslate2", "huggingface")}
    limits = {"length_ratio": ratio, "length_extra": extra, "longest": longest}
    amounts = {"batch": options.batch, "batch_tokens": options.batch * mean, "alone": options.alone}
    rest = {"beams": options.beams, "threads": options.threads, "pieces": all_pieces(tokenizers.target)}
    return places | limits | amounts | rest


def random_run(like: Run, folder: Path, size: str) -> Run:
    """With weights that were never trained, whose logit of EOS is always zero, so that all of it is written."""
    dim, inner, heads, layers = SIZES[size]
    sizes = {"dim": dim, "feed_forward_dim": inner, "num_heads": heads, "num_kv_heads": heads}
    sizes |= {"encoder_layers": layers, "decoder_layers": layers}
    config = like.config | {"model": like.config["model"] | sizes}
    folder.mkdir()
    begin_run(folder, config, like.tokenizers())
    torch.manual_seed(1)
    model = build(config["model"], path="model")
    with torch.no_grad():
        model.output.weight[EOS] = 0
    write_weights(folder / BEST, model.state_dict())
    return Run(folder)


def compare(job: dict[str, Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The answers of each round, one after the other."""
    jobs = {name: job_of(name, job, options) for name in options.contenders}
    rounds = []
    for number in range(options.rounds):
        rounds.append({name: run(CONTENDERS[name][0], options, told) for name, told in jobs.items()})
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return rounds


def job_of(name: str, job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What a contender is told: CTranslate2 also with how many threads it is the faster one, which is tried here."""
    peer, how = CONTENDERS[name]
    told = job | how
    if peer != "ctranslate2_translate":
        return told
    counts = sorted({1, job["threads"]})
    threads = best_threads({one: run(peer, options, told | {"workers": one, "alone_threads": one}) for one in counts})
    print(f"{name}: {threads['workers']} workers, {threads['alone_threads']} threads alone", file=sys.stderr)
    return told | threads


def best_threads(answers: dict[int, dict[str, Any]]) -> dict[str, int]:
    """Of so many workers, or threads for a sentence alone, what took least time: for batches, and alone."""

    def least(seconds: Callable[[dict[str, Any]], float]) -> int:
        return min(answers, key=lambda count: sum(map(seconds, answers[count]["found"].values())))

    alone = least(lambda part: statistics.median(part["waits"]))
    return {"workers": least(lambda part: part["seconds"]), "alone_threads": alone}


def row(name: str, beam: str, rounds: list[dict[str, Any]], options: argparse.Namespace, score: str) -> str:
    """A contender with a beam."""
    mine, ours = ([answers[one]["found"][beam] for answers in rounds] for one in (name, options.ours))
    seconds = [one["seconds"] for one in mine]
    written = mine[0]["written"]
    tokens = sum(len(ids) + 1 for ids in written)
    middles = [[statistics.median(one["waits"]) for one in side] for side in (mine, ours)]
    late = statistics.median(statistics.quantiles(one["waits"], n=20)[-1] for one in mine)
    speeds = [f"{count / statistics.median(seconds):,.0f}" for count in (len(written), tokens)]
    memory = statistics.median(answers[name]["memory"] for answers in rounds) / 2**20
    cells = [f"{name} {rounds[0][name]['version']}".strip(), "greedy" if beam == "1" else f"beam {beam}", *speeds]
    cells += [quartiles([theirs / one["seconds"] for theirs, one in zip(seconds, ours, strict=True)])]
    cells += [f"{statistics.median(middles[0]) * 1e3:.1f}", f"{late * 1e3:.1f}"]
    cells += [quartiles([theirs / one for theirs, one in zip(*middles, strict=True)]), f"{memory:,.0f}", score]
    return f"| {' | '.join(cells)} |"


def quartiles(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def scored(options: argparse.Namespace, written: list[list[int]]) -> str:
    """BLEU, where there is a reference and the weights were trained."""
    if options.reference is None or options.size:
        return "–"
    decode = Run(options.run).tokenizers().target.decode
    return f"{bleu([decode(ids) for ids in written], list(read_lines(options.reference))[: len(written)]):.2f}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a trained Transformer")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--size", choices=SIZES, help="random weights of this size instead of the run's")
    parser.add_argument("--sentences", type=int, help="the first so many; else all")
    parser.add_argument("--alone", type=int, default=50, help="how many of them are also translated one by one")
    parser.add_argument("--batch", type=int, default=64, help="sentences in a batch")
    parser.add_argument("--beams", type=int, nargs="+", default=[4, 1], help="1 is greedy")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--ours", choices=CONTENDERS, default="Dragoman int8", help="what the others are compared with")
    parser.add_argument("--environments", type=Path, default=CACHE, help="where JoeyNMT's is made")
    options = parser.parse_args()
    if options.ours not in options.contenders or options.rounds < 2 or options.alone < 2:
        parser.error("--ours must be among the contenders, --rounds and --alone at least 2.")
    return options


def main() -> None:
    options = read_options()
    print(f"{processor()}, {options.threads} threads, torch {torch.__version__}, {date.today()}, batches of", end=" ")
    weights = f"random weights ({options.size}), translations of one length" if options.size else options.run
    print(f"{options.batch} sentences: {weights}")
    print(f"\n    python {' '.join(map(shlex.quote, sys.argv))}\n", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        rounds = compare(prepare(Path(temporary), options), options)
    print(f"| | search | sentences/s | tokens/s | {options.ours} is × as fast | alone: ms | 95th percentile", end="")
    print(" | × as fast | peak MiB | BLEU |\n" + "|---" * 10 + "|")
    for beam in map(str, options.beams):
        for name in options.contenders:
            print(row(name, beam, rounds, options, scored(options, rounds[0][name]["found"][beam]["written"])))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
