"""Dragoman: its search on the model of a run, in the precision that it is told."""

import dragoman  # noqa: F401, before torch, which asks but once how to ask for memory

# isort: split
from functools import partial

import torch
from job import read_job
from stopwatch import Rows, answer, in_batches

from dragoman.batching import side_by_side
from dragoman.data.batch import pad_sources
from dragoman.models.packed import packed
from dragoman.run import Run
from dragoman.search import Beam, Greedy, Search


def main() -> None:
    job = read_job()
    model = packed(Run(job.run).model(), job.precision)
    lengths = {"max_source": model.max_length, "length_ratio": job.length_ratio, "length_extra": job.length_extra}

    def search(beam: int) -> Search:
        return Greedy(**lengths) if beam == 1 else Beam(beam=beam, length_penalty=1.0, nbest=1, **lengths)

    def translate(rows: Rows, beam: int) -> Rows:
        return [best[0].ids for best in search(beam)(model, pad_sources(rows))]

    each = partial(side_by_side, device=model.device, threads=job.threads)
    torch.set_num_threads(job.threads)
    answer(job, "", in_batches(translate, job.batch, each), translate)


if __name__ == "__main__":
    main()
