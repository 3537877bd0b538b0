"""A pretended script: prints its configuration as JSON, or fails as `fail` says."""

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

from dragoman.errors import InputError  # noqa: E402
from entry import Outcome, entry  # noqa: E402


def main(config: dict[str, Any]) -> int:
    assert type(config) is dict
    assert "hydra" not in config
    logging.getLogger("app").info("at work")
    if config["fail_seed"] in (None, config["seed"]):
        fail(config["fail"])
    print(json.dumps(config))
    return 10 * config["seed"]


def conclude(outcomes: list[Outcome]) -> None:
    """What became of the jobs, as JSON on one line."""
    print(json.dumps([[job.swept, result, error] for job, result, error, _ in outcomes]))


def fail(how: str | None) -> None:
    match how:
        case "input":
            raise InputError("`beam` (0) must be at least 1.")
        case "file":
            Path("no/such/file").read_text()
        case "disk":
            with Path("/dev/full").open("w") as file:
                file.write("text")
        case "bug":
            raise KeyError("a bug of ours")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "interrupt":
            raise KeyboardInterrupt
        case "wait":
            time.sleep(60)
        case "flood":
            for _ in range(100_000):
                print("a line that nobody reads")


if __name__ == "__main__":
    entry(main, config_name="app", literal=("extra",), config_folder=HERE / "configs", conclude=conclude)
