"""What a user is told about a configuration: the help, and one sentence for an override that Hydra refuses.

Both are read off the YAML files and the composed configuration, so that neither can be out of date.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Compose = Callable[[list[str]], DictConfig]

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)
NO_KEY = re.compile(
    r"(?:In '(?P<place>[^']+)': )?"
    r"(?:Could not override '|Could not delete(?: from config\.)? '|Override (?=[^']*looks like))(?P<key>[^'=]+)"
)

USAGE = """
Options:
  --multirun KEY=A,B      one job for each value (for each combination, with several such keys)
  hydra/launcher=submitit_slurm      with --multirun: the jobs on a cluster
  --cfg job [--resolve]   print the configuration and stop
  --help, --hydra-help    this text; Hydra's own, with its other options

Keys, as KEY=VALUE (a.b=VALUE for b below a), with their present values:"""


def walk(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of nested dicts and its value, in the order of the file."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield f"{prefix}{key}", value
        yield from walk(value, f"{prefix}{key}.")


def one_line(error: BaseException) -> str:
    """An error's message without what OmegaConf and Hydra append to it; of a wrapper without one, its cause's."""
    text = str(error) or str(error.__cause__)
    return " ".join(re.split(r"\n\s*(?:full_key:|See https:|Config search path:)", text)[0].split())


def choices(config: DictConfig) -> dict[str, str | None]:
    """Each group as the command line spells it ("attention@model.cross_attention") and its choice; packaged last."""
    chosen = reversed(config.hydra.runtime.choices.items())  # Hydra walks the defaults list backwards
    ours = [(group, choice) for group, choice in chosen if not group.startswith("hydra/")]
    return dict(sorted(ours, key=lambda item: item[0].partition("@")[0] if "@" in item[0] else ""))


def known_keys(overrides: list[str], compose: Compose) -> list[str]:
    """Every key and group that these overrides leave to choose from; none if they cannot be composed either."""
    try:
        config = compose(overrides)
    except COMPOSITION_ERRORS:
        return []
    keys = [key for key, _ in walk(OmegaConf.to_container(config)) if not f"{key}.".startswith("hydra.")]
    return list(dict.fromkeys([*choices(config), *keys]))


# One sentence for what Hydra refuses


def explain(error: Exception, overrides: list[str], compose: Compose) -> str:
    """What is wrong with these overrides, and what comes nearest to it."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, overrides, compose)
    if isinstance(error, MissingConfigException) and error.options:
        return no_choice(error, overrides)
    message = one_line(error)
    if found := re.search(r"You must specify '(.+?)'.*Available options:(.*)", message):
        return f"Add {found[1]}=CHOICE to the command line ({', '.join(found[2].split())})."
    if found := NO_KEY.search(message):
        cause = error.__cause__  # of "model={a: 1}" Hydra names "model", OmegaConf "model.a"
        key = cause.full_key if isinstance(cause, OmegaConfBaseException) and cause.full_key else found["key"]
        return no_key(key, found["key"], found["place"], overrides, compose)
    culprits = [] if fails(compose, []) else [o for o in overrides if fails(compose, [o])]
    if culprits and message.endswith("Got NoneType"):
        message = f"~{culprits[0].partition('=')[0]} leaves a group out."
    return f'"{culprits[0]}" cannot be used: {message}' if culprits else message


def unreadable(override: str, overrides: list[str], compose: Compose) -> str:
    """Of an override outside Hydra's grammar; a misspelt key comes first, as it may have been a literal one."""
    key, equals, _ = override.partition("=")
    if not equals:
        return f'"{override}" is not of the form KEY=VALUE.'
    known = known_keys([other for other in overrides if other != override], compose)
    if known and key.lstrip("+~") == key and key not in known:
        return f'There is no key "{key}"{nearest(key, known)}'
    return f'"{override}" cannot be read; quote a value with special characters, as in \'KEY="a, [b"\'.'


def no_choice(error: MissingConfigException, overrides: list[str]) -> str:
    place, group = re.findall(r"(?:In|options in) '(.+?)'", str(error))
    choice = str(error.missing_cfg_file).removeprefix(f"{group}/")
    given = any(override.endswith(f"={choice}") for override in overrides)
    options = sorted(error.options or ())
    where = "" if given else f"In {place}.yaml: "
    return f'{where}"{choice}" is not a choice of {group} ({", ".join(options)}){nearest(choice, options)}'


def no_key(key: str, overridden: str, place: str | None, overrides: list[str], compose: Compose) -> str:
    """`place` is the config file that overrides it, None for the command line."""
    others = [o for o in overrides if o.lstrip("+~").partition("=")[0] != overridden and o.replace("=", "/") != place]
    where = f"In {place}.yaml: there" if place else "There"
    known = known_keys(others, compose)
    having = " or ".join(choices_with(key, known, others, compose))
    return f'{where} is no key "{key}"{f" without {having}." if having else nearest(key, known)}'


def choices_with(key: str, known: list[str], overrides: list[str], compose: Compose) -> list[str]:
    """The choices of the key's group under which there is such a key: corpus=folder for corpus.folder."""
    group = key.partition(".")[0]
    if group not in known:
        return []
    options = GlobalHydra.instance().config_loader().get_group_options(group)
    others = [override for override in overrides if override.partition("=")[0] != group]
    chosen = [f"{group}={option}" for option in options]
    return [choice for choice in chosen if key in known_keys([*others, choice], compose)]


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of the sentence: what was meant, by spelling or else by its last part ("dim" for "model.dim")."""
    last = word.rpartition(".")[2]
    found = (
        difflib.get_close_matches(word, known, n=2, cutoff=0.7)
        or [key for key in known if last in re.split(r"[.@/]", key)][:3]
    )
    return f"; did you mean {' or '.join(found)}?" if found else "; --help lists what there is."


def fails(compose: Compose, overrides: list[str]) -> bool:
    try:
        compose(overrides)
    except COMPOSITION_ERRORS:
        return True
    return False


# The help


def help_text(name: str, folders: Sequence[Path], config: DictConfig, overrides: Sequence[str], keys: str) -> str:
    """The root's leading comment, every group with its purpose and its choices, and the keys with their values.

    Beside a key stands what the files say of it. Of the choices that the command line makes also how their files begin.
    """
    groups = list(group_lines(name, folders, config))
    lines = [*comments(lines_of(folders, name)), *(["", "Choices, as GROUP=CHOICE:", *groups] if groups else [])]
    lines += [USAGE, *explained(keys.splitlines(), told_of_keys(name, folders, config))]
    named = {override.partition("=")[0].lstrip("+") for override in overrides}
    for group, choice in choices(config).items():
        about = comments(lines_of(folders, f"{group.partition('@')[0]}/{choice}")) if group in named else []
        if about:
            lines += ["", f"{group}={choice}:", *(f"  {line}" for line in about)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def group_lines(name: str, folders: Sequence[Path], config: DictConfig) -> Iterator[str]:
    """Every group as it stands and its purpose; below the groups of one folder the choices they share."""
    chosen = choices(config)
    purposes = purposes_in(lines_of(folders, name), "")
    for group, choice in chosen.items():
        folder, _, package = group.partition("@")
        purposes |= purposes_in(lines_of(folders, f"{folder}/{choice}"), f"{package or folder.replace('/', '.')}.")
    for folder, groups in itertools.groupby(chosen, key=lambda group: group.partition("@")[0]):
        for group in groups:
            spelling = f"{group}={chosen[group] or 'null'}"
            yield f"  {spelling:<44}{purposes.get(group, '')}"
        for option in sorted({path.stem for root in folders for path in (root / folder).glob("*.yaml")}):
            about = comments(lines_of(folders, f"{folder}/{option}"))
            yield f"      {option:<40}{about[0] if about else ''}"


def told_of_keys(name: str, folders: Sequence[Path], config: DictConfig) -> dict[str, str]:
    """Dotted key → what the root says of it, or the file of a choice, or one that this builds upon; the last word."""
    told = told_in(lines_of(folders, name), "")
    for group, choice in choices(config).items():
        folder, _, package = group.partition("@")
        for lines in generations(folders, folder, choice):
            everywhere = any(line.startswith("# @package _global_") for line in lines)
            told |= told_in(lines, "" if everywhere else f"{package or folder.replace('/', '.')}.")
    return told


def generations(folders: Sequence[Path], folder: str, choice: str | None) -> Iterator[list[str]]:
    """The lines of the files of the same folder that a choice builds upon, and its own."""
    lines = lines_of(folders, f"{folder}/{choice}")
    for parent in (found[1] for found in (re.fullmatch(r"  - (\w+)", line) for line in lines) if found):
        if parent != "_self_":
            yield from generations(folders, folder, parent)
    yield lines


def told_in(lines: list[str], prefix: str) -> dict[str, str]:
    """What the trailing comments of one file say of its keys, and the list in the comment that it begins with."""
    told = dict(listed(comments(lines)))
    told |= {key: line.partition(" # ")[2].strip() for key, line in dotted(lines) if key and " # " in line}
    return {prefix + key: about for key, about in told.items()}


def listed(lines: list[str]) -> Iterator[tuple[str, str]]:
    """ "  key, other   what they are", which may go on in lines that begin further right."""
    keys: list[str] = []
    text = ""
    for line in [*lines, ""]:
        found = re.fullmatch(r" {1,3}(\w+(?:, \w+)*) {2,}(.+)", line)
        if keys and not found and re.match(r" {10,}\S", line):
            text += f" {line.strip()}"
            continue
        yield from ((key, text) for key in keys)
        keys, text = (found[1].split(", "), found[2]) if found else ([], "")


def explained(lines: list[str], told: dict[str, str]) -> Iterator[str]:
    """The lines of a configuration, each with what is told of its key."""
    for key, line in dotted(lines):
        yield f"{line:<40}  # {told[key]}" if key in told else line


def dotted(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Every line, with the dotted key that begins there by its indentation; no key is an empty one."""
    above: list[tuple[int, str]] = []
    for line in lines:
        found = re.match(r"( *)(\w+):(?: |$)", line)
        if found:
            above = [one for one in above if one[0] < len(found[1])] + [(len(found[1]), found[2])]
        yield ".".join(key for _, key in above) if found else "", line


def lines_of(folders: Sequence[Path], name: str) -> list[str]:
    """Of a config file; none if there is none, as where the choice is null."""
    found = [path for path in (folder / f"{name}.yaml" for folder in folders) if path.is_file()]
    return found[0].read_text(encoding="utf-8").splitlines() if found else []


def comments(lines: list[str]) -> list[str]:
    """The block of comments that a file begins with."""
    block = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return [line[1:].removeprefix(" ") for line in block if "@package" not in line]


def purposes_in(lines: list[str], package: str) -> dict[str, str]:
    """What the trailing comments of a defaults list say of its groups: "- model: transformer   # the network"."""
    entries = (re.match(r"\s*- /?([\w/]+)(?:@([\w.]+))?:.*?\s#\s*(.+)", line) for line in lines)
    return {found[1] + (f"@{package}{found[2]}" if found[2] else ""): found[3] for found in entries if found}
