"""Trains experiment=multi30k_en_de_best, or …_en_fr_best, from nothing: its two teachers, their text, and itself.

    python studies/diversify.py --folder DATA
    python studies/diversify.py --folder DATA --target fr

Data diversification (Nguyen et al. 2020, section 3), once: a translator of each direction translates the training
text, and what both have made stands beside the real pairs. DATA holds train.*, val.* and test_2016_flickr.* in both
languages; the teachers do not read the test set. The same command goes on where it was stopped.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dragoman.text.lines import side_of
from study import Job, jobs_of, script, synthesise, train_all

SEARCH = ("search=beam", "search.length_penalty=2.0")  # a lower one teaches brevity (docs/recipes.md)


def teachers(folder: Path, target: str, seed: int) -> list[Job]:
    """The short recipe, forward and backward."""
    shared = (f"experiment=multi30k_en_{target}", f"corpus.folder={folder}", "corpus.test=val")
    backward = (f"corpus.source_language={target}", "corpus.target_language=en")
    return jobs_of("diversify", {f"en-{target}": (), f"{target}-en": backward}, [seed], *shared)


def translations(folder: Path, target: str, forward: Job, backward: Job, at_once: int) -> list[Path]:
    """Tables of English and target text: one side of each real, the other a teacher's."""
    taught, back = (job.folder / "made.tsv" for job in (forward, backward))
    with ThreadPoolExecutor(at_once) as pool:
        made = [
            pool.submit(synthesise, forward, side_of(folder, "train", "en"), taught, "as=distillation", *SEARCH),
            pool.submit(synthesise, backward, side_of(folder, "train", target), back, "as=back_translation", *SEARCH),
        ]
        for one in made:
            one.result()
    return [taught, back]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path, help="the folder with the text in both languages")
    parser.add_argument("--target", choices=["de", "fr"], default="de", help="the language to translate into")
    parser.add_argument("--seed", type=int, default=1, help="of all three trainings")
    parser.add_argument("--jobs", type=int, default=2, help="teachers at work at the same time, a thread each")
    parser.add_argument("--overrides", nargs="*", default=[], help="of the last training: name=other, say")
    options = parser.parse_args()
    folder = options.folder.resolve()
    forward, backward = teachers(folder, options.target, options.seed)
    train_all([forward, backward], options.jobs)
    made = translations(folder, options.target, forward, backward, options.jobs)
    overrides = [f"experiment=multi30k_en_{options.target}_best", f"seed={options.seed}", f"corpus.folder={folder}"]
    overrides.append(f"corpus.synthetic=[{','.join(map(str, made))}]")
    if options.seed != 1:
        overrides.append(f"name=multi30k_en_{options.target}_best-{options.seed}")
    sys.exit(subprocess.run(script("train", *overrides, *options.overrides)).returncode)


if __name__ == "__main__":
    main()
