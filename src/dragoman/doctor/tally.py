"""What the doctor writes down: counts, a few examples of each, lengths."""

from dataclasses import dataclass, field

NO_TEXT = "not_text"  # the rule on lines that are no pairs


@dataclass(frozen=True)
class Example:
    """A pair, where it stands, and what is wrong with it."""

    origin: str
    reason: str
    source: str
    target: str


@dataclass
class Finding:
    """How many pairs a rule objects to, and the first few of them."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass
class Side:
    """One language of a split. Of tokens only where there is a tokenizer."""

    words: int = 0
    characters: int = 0
    tokens: int | None = None
    unknown: int | None = None  # tokens that are unknown, or bytes of a character without a piece
    unseen: int | None = None  # tokens that the training split does not hold
    lengths: dict[int, int] = field(default_factory=dict)  # words, or tokens where they are known → sentences

    def add_lengths(self, lengths: list[int]) -> None:
        """One sentence for each."""
        for length in lengths:
            self.lengths[length] = self.lengths.get(length, 0) + 1

    def quantile(self, share: float) -> int:
        """The length that `share` of the sentences do not exceed."""
        total, below = sum(self.lengths.values()), 0
        for length, count in sorted(self.lengths.items()):
            below += count
            if below >= share * total:
                return length
        return 0


@dataclass
class SplitReport:
    """A split: its pairs, those among them that no rule objects to, both sides, and the findings by rule."""

    pairs: int
    sound: int = 0
    sides: dict[str, Side] = field(default_factory=lambda: {"source": Side(), "target": Side()})
    findings: dict[str, Finding] = field(default_factory=dict)


@dataclass
class Report:
    """A corpus. `laws` says in a sentence what each rule objects to, `notes` what could not be examined, and why."""

    laws: dict[str, str]
    corpus: str = ""  # where it was read from
    day: str = ""
    languages: dict[str, str] = field(default_factory=dict)  # by side
    notes: list[str] = field(default_factory=list)
    splits: dict[str, SplitReport] = field(default_factory=dict)
    pieces: dict[str, int] = field(default_factory=dict)  # of the tokenizer of each side
    pieces_in_use: dict[str, int] = field(default_factory=dict)  # those that the training split holds

    def unread(self) -> list[str]:
        """A sentence on each split that had lines without text."""
        counts = {name: split.findings[NO_TEXT].count for name, split in self.splits.items()}
        return [
            f"{name}: {self.splits[name].pairs + count:,} lines, of which {count:,} are no text and so no pairs."
            for name, count in counts.items()
            if count
        ]


def shortened(text: str, most: int) -> str:
    """Its beginning and its end, `most` characters in all."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def printable(text: str) -> str:
    """On one line, with characters that nobody sees, or that a terminal would obey, spelt out."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
