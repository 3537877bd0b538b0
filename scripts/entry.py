"""The door of every script: command line in, plain resolved dict out, failures as one sentence.

Hydra composes (and writes nothing: neither folder, log nor chdir); literal values, sweeps, exit status and messages are
ours. Knows nothing of translation; the other `entry_*.py` serve it alone.
"""

import itertools
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dragoman.errors import InputError, Stopped
from entry_help import COMPOSITION_ERRORS, explain, help_text, nearest, one_line, walk
from entry_literals import LITERAL, Literals
from entry_sweep import EXPECTED, Function, Job, Outcome, label, run_jobs, sentence

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / "configs"
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of several processes that fail together the first one speaks

Conclude = Callable[[list[Outcome]], None]


def nothing(outcomes: list[Outcome]) -> None:
    """The conclusion of most sweeps."""


def entry(
    function: Function,
    config_name: str,
    literal: Sequence[str] = (),
    config_folder: Path = CONFIG_FOLDER,
    conclude: Conclude = nothing,
) -> None:
    """Calls `function` with `config_folder/config_name.yaml` under the command line's overrides, once for each job.

    The dict is resolved and plain, and `config["sweep"]` is added: None, or in a `--multirun` job its swept overrides,
    sorted and safe as a folder name ("model.dim=64,seed=1"). When all jobs of a sweep have ended, `conclude` is given
    what the function returned for each, or why it failed.

    Values of the keys that match `LITERAL`, `LITERAL_LISTS` or the script's own `literal` (fnmatch patterns) are taken
    as they are, whatever characters they hold: they are always strings and never swept. For `LITERAL_LISTS` a value
    "[a,b]" is the list of the literals "a" and "b", split at commas and not stripped, unless there is a file or folder
    "[a,b]" or "a,b". A validation or test split may be null.

    Exit status: 1 after an `InputError`, an `OSError` or a configuration that cannot be composed (one sentence on
    stderr), or if any job of a sweep failed; 130 after Ctrl-C, 128 + its number after another
    signal that a training heeds; 141 when the reader of stdout left. Any other exception is a bug of ours and keeps
    its traceback, but ends no sweep; with HYDRA_FULL_ERROR=1 every exception keeps it.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    literals = Literals((*LITERAL, *literal))
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (it was closed)
    try:
        status = launch(function, Root(config_name, config_folder, literals), conclude)
        sys.stdout.flush()
    except EXPECTED as error:
        status = report(error, literals)
        abandon_stdout()
    if status:
        sys.exit(status)


class Root(NamedTuple):
    """One root YAML, and what turns its unresolved compositions into plain dicts."""

    name: str
    folder: Path
    literals: Literals

    def compose(self, overrides: list[str]) -> DictConfig:
        """The unresolved configuration, with Hydra's own node."""
        with self.explained(overrides):
            return self.compose_raw(overrides)

    @contextmanager
    def explained(self, overrides: list[str]) -> Iterator[None]:
        """Hydra's complaints, which are several lines long or name nothing, as one sentence."""
        try:
            yield
        except COMPOSITION_ERRORS as error:
            raise InputError(explain(error, overrides, self.compose_raw)) from error

    def compose_raw(self, overrides: list[str]) -> DictConfig:
        return hydra.compose(self.name, overrides, return_hydra_config=True)

    def plain(self, config: DictConfig, resolve: bool) -> dict[str, Any]:
        """Without Hydra's node; resolved, nothing may be missing in it."""
        config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        missing = [key for key, value in walk(OmegaConf.to_container(config)) if value == "???"]
        if resolve and missing:
            raise InputError(f"Add {' '.join(f'{key}=VALUE' for key in missing)} to the command line.")
        try:
            tree: dict[str, Any] = self.literals.restore(OmegaConf.to_container(config, resolve=resolve))
        except OmegaConfBaseException as error:
            raise InputError(f'The value of "{error.full_key}" cannot be worked out: {one_line(error)}.') from error
        return tree

    def launcher(self, overrides: list[str]) -> dict[str, Any]:
        """What is to run the jobs of a sweep: Hydra's node of that name, resolved."""
        with self.explained(overrides):
            node = self.compose_raw(overrides).hydra.launcher
            settings: dict[str, Any] = self.literals.restore(OmegaConf.to_container(node, resolve=True))
        return settings


def launch(function: Function, root: Root, conclude: Conclude) -> int:
    """Does what the command line asks for; returns the exit status."""
    arguments = [root.literals.hide(argument) for argument in sys.argv[1:]]
    options, unknown = get_args_parser().parse_known_intermixed_args(arguments)
    if unknown:
        raise InputError(f"There is no option {unknown[0]}; --hydra-help lists them.")
    if options.hydra_help or options.info or options.shell_completion or options.cfg in ("hydra", "all"):
        return ask_hydra(function, root, arguments)
    root = root._replace(
        name=options.config_name or root.name, folder=Path(options.config_path or root.folder).resolve()
    )
    overrides = search_path(options) + options.overrides
    with hydra.initialize_config_dir(str(root.folder), job_name=root.name, version_base="1.3"):
        if options.help or options.cfg:
            print(shown(root, root.compose(overrides), options), end="")
            return 0
        chosen = list(combinations(root, overrides, options.multirun))
        jobs = [job(root, overrides, swept) for overrides, swept in chosen]
        launcher = root.launcher(chosen[0][0]) if options.multirun else None
    if launcher is None:
        function(jobs[0].config)
        return 0
    outcomes = run_jobs(function, jobs, launcher, root.literals)
    conclude(outcomes)
    return int(any(outcome.error is not None for outcome in outcomes))


def ask_hydra(function: Function, root: Root, arguments: list[str]) -> int:
    """Hydra's answer on itself; the function is not called, it only lends the script its name."""
    sys.argv[1:] = arguments
    try:
        hydra.main(version_base="1.3", config_path=str(root.folder), config_name=root.name)(function)()
    except HydraException as error:
        raise InputError(one_line(error)) from error
    return 0


def search_path(options: Namespace) -> list[str]:
    """`--config-dir` as an override: Hydra's compose knows no other way."""
    if options.config_dir is None:
        return []
    if not os.path.isdir(options.config_dir):
        raise InputError(f"--config-dir names no folder: {options.config_dir}.")
    folder = QuotedString(f"file://{os.path.abspath(options.config_dir)}", Quote.single)
    return [f"hydra.searchpath=[{folder.with_quotes()}]"]


def shown(root: Root, config: DictConfig, options: Namespace) -> str:
    """The help, or the configuration as YAML."""
    tree = root.plain(config, resolve=options.resolve)
    if options.package:
        known = dict(walk(tree))
        if options.package not in known:
            raise InputError(f'There is no key "{options.package}"{nearest(options.package, list(known))}')
        tree = known[options.package]
    text: str = yaml.dump(tree, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    if not options.help:
        return text.removesuffix("...\n")  # the end mark of a lone scalar
    folders = [root.folder, *([Path(options.config_dir)] if options.config_dir else [])]
    return help_text(root.name, folders, config, options.overrides, text)


def combinations(root: Root, overrides: list[str], multirun: bool) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The overrides of each job and its swept ones; the sweep's last key turns fastest."""
    fixed, swept, chosen = [], {}, set()
    with root.explained(overrides):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        for line, override in zip(overrides, parser.parse_overrides(overrides), strict=True):
            chosen.add(override.key_or_group)
            if override.is_sweep_override():
                swept[override.get_key_element()] = list(override.sweep_string_iterator())
            else:
                fixed.append(line)
    if swept and not multirun:
        raise InputError(
            f"{' and '.join(swept)} cannot have several values without --multirun, which runs a job for each."
        )
    if "hydra/launcher" in chosen and not multirun:
        raise InputError("hydra/launcher is for the jobs of a sweep: add --multirun, also for a single job.")
    for values in itertools.product(*swept.values()):
        pairs = dict(zip(swept, values, strict=True))
        yield fixed + [f"{key}={value}" for key, value in pairs.items()], {k.lstrip("+"): v for k, v in pairs.items()}


def job(root: Root, overrides: list[str], swept: dict[str, str]) -> Job:
    try:
        config = root.plain(root.compose(overrides), resolve=True)
    except InputError as error:
        raise InputError(f"{label(swept)}: {error}" if swept else str(error)) from error
    return Job(swept, config | {"sweep": label(swept) or None})


def report(error: BaseException, literals: Literals) -> int:
    """Says on stderr what went wrong; returns the exit status."""
    if isinstance(error, BrokenPipeError):
        return 141
    if all(os.environ.get(name, "0") == "0" for name in RANKS):
        print(literals.restore(sentence(error)), file=sys.stderr)
    if isinstance(error, Stopped):
        return 128 + error.number
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def abandon_stdout() -> None:
    """Drops what stdout cannot take: the interpreter would flush it once more at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
