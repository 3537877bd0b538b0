"""Trains experiment=multi30k_en_de_best, or …_en_fr_best, from nothing: its teachers, their text, and itself.

    python studies/diversify.py --folder DATA
    python studies/diversify.py --folder DATA --target fr

Data diversification (Nguyen et al. 2020, section 3), once: translators of each direction, which differ in their seeds,
translate the training text, and their pairs are added to the real ones. DATA holds train.*, val.* and
test_2016_flickr.* in both languages; the teachers do not read the test set. The same command goes on where it was
stopped.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dragoman.text.lines import side_of
from study import Job, begin, jobs_of, script, synthesise, train_all

SEARCH = ("search=beam", "search.length_penalty=2.0")  # with a lower one translations are too short (docs/recipes.md)


def teachers(folder: Path, target: str, seeds: Sequence[int]) -> list[Job]:
    """The short recipe, forward and backward, with each seed."""
    shared = (f"experiment=multi30k_en_{target}", f"corpus.folder={folder}", "corpus.test=val")
    backward = (f"corpus.source_language={target}", "corpus.target_language=en")
    return jobs_of("diversify", {f"en-{target}": (), f"{target}-en": backward}, seeds, *shared)


def translations(folder: Path, target: str, taught_by: Sequence[Job], at_once: int) -> list[Path]:
    """Tables of English and target text, one of each teacher: one side of each is real, the other the teacher's."""

    def translation(teacher: Job) -> Path:
        made = teacher.folder / "made.tsv"
        forward = teacher.label == f"en-{target}"
        given, purpose = ("en", "distillation") if forward else (target, "back_translation")
        synthesise(teacher, side_of(folder, "train", given), made, f"as={purpose}", *SEARCH)
        return made

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(translation, taught_by))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path, help="the folder with the text in both languages")
    parser.add_argument("--target", choices=["de", "fr"], default="de", help="the language to translate into")
    parser.add_argument("--seed", type=int, default=1, help="of the last training, and of the first teachers")
    parser.add_argument("--teachers", type=int, default=2, help="of each direction, with as many seeds")
    parser.add_argument("--jobs", type=int, default=2, help="teachers at work at the same time, a thread each")
    parser.add_argument("--overrides", nargs="*", default=[], help="of the last training: name=other, say")
    options = parser.parse_args()
    folder = options.folder.resolve()
    taught_by = teachers(folder, options.target, range(options.seed, options.seed + options.teachers))
    train_all(taught_by, options.jobs)
    made = translations(folder, options.target, taught_by, options.jobs)
    overrides = [f"experiment=multi30k_en_{options.target}_best", f"seed={options.seed}", f"corpus.folder={folder}"]
    overrides.append(f"corpus.synthetic=[{','.join(map(str, made))}]")
    if options.seed != 1:
        overrides.append(f"name=multi30k_en_{options.target}_best-{options.seed}")
    sys.exit(subprocess.run(script("train", *overrides, *options.overrides)).returncode)


if __name__ == "__main__":
    begin(main)
