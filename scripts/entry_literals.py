"""Which values of the command line are literal, and how they get past Hydra's grammar unchanged."""

import os
import re
import uuid
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

LITERAL = (
    "text",
    "source",
    "reference",
    "target",
    "name",
    "init",
    "output",
    "run_dir",
    "tag",
    "corpus.folder",
    "corpus.dataset",
    "corpus.tags.*",
    "corpus.corpora.*.folder",
    "corpus.corpora.*.dataset",
)
SPLITS = ("train", "validation", "test")
MAY_BE_NULL = (
    *("corpus.train", "corpus.validation*", "corpus.test*", "init", "tag", "tokenizer.symbols"),
    *(f"corpus.corpora.*.{split}" for split in SPLITS),
)  # where null is no name
LITERAL_LISTS = (
    "run",
    "scores",
    "freeze",
    "corpus.train",
    "corpus.synthetic",
    "corpus.validation",
    "corpus.test",
    "corpus.*_source",
    "corpus.*_target",
    "tokenizer.symbols",
    *(f"corpus.corpora.*.{split}" for split in SPLITS),
)


class Literals:
    """Values taken as they are: each passes through Hydra as a token, and takes the token's place afterwards."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = patterns
        self.prefix = f"literal_{uuid.uuid4().hex}"
        self.values: list[str] = []

    def hide(self, argument: str) -> str:
        """The argument, with a token in place of its value if its key is a literal one."""
        key, equals, value = argument.partition("=")
        name = key.removeprefix("+").removeprefix("+")
        may_be_list = matches(name, LITERAL_LISTS)
        if value == "null" and matches(name, MAY_BE_NULL):
            return argument
        if not equals or not (may_be_list or matches(name, self.patterns)):
            return argument
        if may_be_list and value.startswith("[") and value.endswith("]") and not os.path.exists(value):
            elements = split(value[1:-1]) if value != "[]" else []
            return f"{key}=[{','.join(map(self.token, elements))}]"
        return f"{key}={self.token(value)}"

    def token(self, value: str) -> str:
        self.values.append(value)
        return f"{self.prefix}_{len(self.values) - 1}_"

    def restore(self, tree: Any) -> Any:
        """The same tree of dicts, lists and scalars with every token, alone or inside a string, back to its value."""
        if isinstance(tree, dict):
            return {key: self.restore(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.restore(value) for value in tree]
        if isinstance(tree, str):
            return re.sub(rf"{self.prefix}_(\d+)_", lambda token: self.values[int(token[1])], tree)
        return tree


def split(elements: str) -> list[str]:
    """At commas, but for those in the longest name that a file or folder has, as the runs of a sweep do."""
    parts, found = elements.split(","), []
    while parts:
        length = next((n for n in range(len(parts), 1, -1) if os.path.exists(",".join(parts[:n]))), 1)
        found.append(",".join(parts[:length]))
        parts = parts[length:]
    return found


def matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
