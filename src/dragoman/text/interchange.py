"""Readers of what translators' programs write: TMX, XLIFF, spreadsheets → sentence pairs.

XML is streamed and its entities stay unexpanded; no reader fetches anything. A unit without a text on both sides is
none; what is inside inline codes (bpt, ept, it, ph, ut) is the code of another program, not text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZipFile

from dragoman.errors import InputError
from dragoman.text.lines import open_bytes
from dragoman.text.packing import TOOLS, Damaged, unpack
from dragoman.text.readers import Column, Pair, Pairs, pairs_of_cells, text_of

CODES = frozenset(["bpt", "ept", "it", "ph", "ut"])  # inline elements whose content is not text
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
LARGEST_SHEET = 1 << 29  # bytes that a spreadsheet may unpack to
ROWS = 1 << 20  # of a sheet, the most that there can be
LARGEST_UNIT = 1 << 24  # bytes of XML from one unit to the next: what is read of it takes some forty times as many


def read_tmx(path: Path, source: str, target: str) -> Pairs:
    """Translation memories, TMX 1.1 to 1.4b: the variants of each unit in the two languages, of several the first."""

    def variants(unit: Any) -> dict[str, str]:
        codes: list[str] = []
        texts: dict[str, str] = {}
        for variant in unit.iterfind("{*}tuv"):
            codes.append(variant.get(LANGUAGE) or variant.get("lang") or "")
            segment = variant.find("{*}seg")
            if segment is not None:
                texts.setdefault(codes[-1], _text_in(segment, path))
        return dict.fromkeys(codes, "") | texts

    yield from _pairs_of_units(path, source, target, variants, _elements(path, "tu"))


def read_xliff(path: Path, source: str, target: str) -> Pairs:
    """XLIFF 1.x and 2.x, in the direction of the file or against it; units that are not translated are left out."""

    def variants(unit: Any) -> dict[str, str]:
        sides = [unit.find(f"{{*}}{side}") for side in ("source", "target")]
        texts = ["" if side is None else _text_in(side, path) for side in sides]
        return dict(zip(_xliff_languages(unit), texts, strict=True))

    yield from _pairs_of_units(path, source, target, variants, _elements(path, "trans-unit", "segment"))


def _pairs_of_units(
    path: Path, source: str, target: str, variants: Callable[[Any], dict[str, str]], units: Iterable[Any]
) -> Pairs:
    """Of units as language → text, those that have a text in both languages; a file without any is an error."""
    seen: set[str] = set()
    found = False
    for unit in units:
        texts = variants(unit)
        seen.update(texts)
        pair = Pair(_side(texts, source), _side(texts, target), f"{path}:{unit.sourceline}")
        if all(pair):
            found = True
            yield pair
    if not found:
        raise _no_such_languages(path, source, target, seen)


def read_xlsx(path: Path, sheet: str | None, source: Column, target: Column) -> Pairs:
    """The rows of a spreadsheet, of its first sheet if none is named; columns by name, then row 1 is the header."""
    import openpyxl  # here: most never need it

    _refuse_bomb(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged file can fail in as many ways as there are readers below
        raise InputError(f"{path} cannot be read as a spreadsheet ({error}); give an undamaged .xlsx file.") from error
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(
            f"{path} has no sheet {sheet!r} but {', '.join(map(repr, book.sheetnames))}: set corpus.sheet."
        )
    cells = book[sheet] if sheet is not None else book.worksheets[0]
    yield from pairs_of_cells(path, _rows(path, cells), source, target, row="row")


def _rows(path: Path, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything."""
    for number, row in _numbered(path, sheet):
        if any(cell is not None for cell in row):
            yield number, list(map(text_of, row))


def _numbered(path: Path, sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The rows that are there; for those that are missing openpyxl gives one and the same again and again."""
    before = None
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number > ROWS:
                raise ValueError(f"it has more than {ROWS:,} rows")
            if row is not before:
                yield number, row
            before = row
    except Exception as error:  # a damaged file can fail in as many ways as there are readers below
        raise InputError(f"{path} cannot be read as a spreadsheet ({error}); give an undamaged .xlsx file.") from error


def _refuse_bomb(path: Path) -> None:
    with open_bytes(path) as stream:
        try:
            size = sum(part.file_size for part in ZipFile(stream).infolist())
        except Exception as error:  # a damaged archive can fail in many ways
            raise InputError(f"{path} is not a spreadsheet ({error}); give an undamaged .xlsx file.") from error
    if size > LARGEST_SHEET:
        raise InputError(f"{path} would unpack to {size:,} bytes, more than any spreadsheet of text: refused.")


class Counted:
    """A stream of XML that may not go on for ever without a unit, all of which would be kept in memory."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path, self.bytes = stream, path, 0

    def read(self, size: int) -> bytes:
        found = self.stream.read(size)
        self.bytes += len(found)
        if self.bytes > LARGEST_UNIT:
            raise InputError(f"{self.path} has over {LARGEST_UNIT >> 20} MiB without the end of a unit: refused.")
        return found


def _elements(path: Path, *tags: str) -> Iterator[Any]:
    """The elements of these names, each freed when the next one is asked for."""
    from lxml import etree  # here: most never need it

    with open_bytes(path) as packed:
        counted = Counted(unpack(packed, path.suffix), path)
        try:
            events = etree.iterparse(
                cast(BinaryIO, counted), events=("end",), tag=[f"{{*}}{tag}" for tag in tags],
                resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            )  # fmt: skip
            for _, element in events:
                counted.bytes = 0
                yield element
                element.clear(keep_tail=True)
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            unfolds = error.code == etree.ErrorTypes.ERR_ENTITY_LOOP or "amplification" in str(error.msg)
            law = (
                "the file's entities unfold into far more text than it holds, as in an attack: refused."
                if unfolds
                else f"this is not well-formed XML ({error.msg}); mend the file."
            )
            raise InputError(f"{path}, line {error.lineno or 1}: {law}") from None
        except Damaged as error:
            tool = TOOLS[path.suffix]
            raise InputError(f"{path}: the {tool} data are damaged ({error}); check with `{tool} -t`.") from error


def _text_in(element: Any, path: Path) -> str:
    """The text without inline codes, on one line."""
    return re.sub(r"[ \t\r\n]*[\t\r\n][ \t\r\n]*", " ", "".join(_parts(element, path))).strip()


def _parts(element: Any, path: Path) -> Iterator[str]:
    if element.text:
        yield element.text
    for child in element:
        if not isinstance(child.tag, str):
            if getattr(child, "name", None):  # an entity that is not one of XML's own five
                raise InputError(
                    f"{path}, line {child.sourceline}: the entity {child.text} is not expanded: write it out."
                )
        elif child.tag.rpartition("}")[2] not in CODES:
            yield from _parts(child, path)
        if child.tail:
            yield child.tail


def _xliff_languages(unit: Any) -> tuple[str, str]:
    """Of the file (1.x) or of the document (2.x) that the unit is in."""
    for parent in unit.iterancestors():
        for keys in (("source-language", "target-language"), ("srcLang", "trgLang")):
            if parent.get(keys[0]):
                return parent.get(keys[0]), parent.get(keys[1]) or "?"
    return "?", "?"


def _side(variants: dict[str, str], language: str) -> str:
    """The text in a language: of that very code, else of one with the same first part ("en" for "en-US")."""
    wanted = parts_of(language)
    exact = [text for code, text in variants.items() if parts_of(code) == wanted]
    alike = [text for code, text in variants.items() if parts_of(code)[0] == wanted[0]]
    return next((text for text in (*exact, *alike) if text), "")


def parts_of(code: str) -> list[str]:
    """Of a language code: language, script, region."""
    return code.lower().replace("_", "-").split("-")


def _no_such_languages(path: Path, source: str, target: str, seen: Iterable[str]) -> InputError:
    known = ", ".join(sorted(code for code in seen if code)) or "none"
    return InputError(
        f"{path} holds no unit with both {source} and {target} (its languages: {known}); set corpus.source_language and"
        " corpus.target_language."
    )
