"""Corpora in what translators' programs write: translation memories, localisation files, spreadsheets."""

from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import InputError
from dragoman.text.base import as_files, as_list
from dragoman.text.catalogues import read_gettext
from dragoman.text.corpus import OneFile, Table
from dragoman.text.interchange import parts_of, read_tmx, read_xliff, read_xlsx
from dragoman.text.readers import Pairs
from dragoman.text.splits import SplitName

CATALOGUES = (".po", ".mo")


class Tmx(OneFile):
    """Translation memories: the two languages of each unit."""

    def pairs(self, path: Path) -> Pairs:
        return read_tmx(path, *self.manner())

    def manner(self) -> tuple[str, str]:
        return self.source_language, self.target_language


class Xliff(Tmx):
    """XLIFF 1.x and 2.x: the units that are translated."""

    def pairs(self, path: Path) -> Pairs:
        return read_xliff(path, *self.manner())


@dataclass(frozen=True, kw_only=True)
class Gettext(OneFile):
    """PO and MO catalogues, or folders with a tree of them, of which those of the other language are taken."""

    msgid_language: str

    def pairs(self, path: Path) -> Pairs:
        return read_gettext(path, *self.manner())

    def manner(self) -> tuple[str, str, str]:
        return self.msgid_language, self.source_language, self.target_language

    def paths(self, name: SplitName) -> list[Path]:
        key = f"corpus.{name}"
        found: list[Path] = []
        for one in as_list(getattr(self, name), key):
            found += self._tree(Path(one), key) if Path(one).is_dir() else as_files(one, key)
        return found

    def _tree(self, folder: Path, key: str) -> list[Path]:
        """Catalogues that are named after the language, or lie in a folder that is: fr.po, fr/LC_MESSAGES/any.mo.

        If there are none of that very code, those of one with the same first part ("pt" for "pt_BR").
        """
        language = self.target_language if self.msgid_language == self.source_language else self.source_language
        wanted = parts_of(language)
        names = {
            path: [parts_of(name) for name in (*path.relative_to(folder.parent).parts[:-1], path.stem)]
            for path in sorted(folder.rglob("*"))
            if path.suffix in CATALOGUES
        }
        exact = [path for path in names if wanted in names[path]]
        found = exact or [path for path in names if wanted[0] in (first for first, *_ in names[path])]
        if not found:
            raise InputError(f"{folder} holds no .po or .mo file of {language}; set {key} to files, or the languages.")
        return found


@dataclass(frozen=True, kw_only=True)
class Xlsx(Table):
    """Spreadsheets; columns by name, then row 1 is the header, or by number from 1."""

    sheet: str | None

    def pairs(self, path: Path) -> Pairs:
        return read_xlsx(path, self.sheet, self.source_column, self.target_column)

    def manner(self) -> tuple[object, ...]:
        return self.sheet, *super().manner()
