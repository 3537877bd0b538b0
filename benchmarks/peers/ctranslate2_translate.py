"""CTranslate2: the same weights, batches by tokens, as it makes them itself."""

import ctranslate2
from job import read_job
from stopwatch import Rows, answer


def main() -> None:
    job = read_job()

    def opened(workers: int, threads_of_each: int) -> ctranslate2.Translator:
        threads = {"inter_threads": workers, "intra_threads": threads_of_each}
        return ctranslate2.Translator(job.ctranslate2, "cpu", compute_type=job.precision, **threads)

    def translate(translator: ctranslate2.Translator, rows: Rows, beam: int) -> Rows:
        results = translator.translate_batch(
            [[job.pieces[id] for id in row] for row in rows],
            beam_size=beam,
            max_batch_size=job.batch_tokens,
            batch_type="tokens",
            max_input_length=0,
            max_decoding_length=job.longest - 1,  # and EOS
        )
        return [[ids[piece] for piece in result.hypotheses[0]] for result in results]

    ids = {piece: id for id, piece in enumerate(job.pieces)}
    many, one = opened(job.workers, job.threads // job.workers), opened(1, job.alone_threads)
    answer(
        job,
        ctranslate2.__version__,
        lambda rows, beam: translate(many, rows, beam),
        lambda rows, beam: translate(one, rows, beam),
    )


if __name__ == "__main__":
    main()
