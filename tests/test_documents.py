"""Formats of translators' programs, written by somebody else's, and what is wrong with broken ones."""

import gzip
import lzma
import re
import sys
from datetime import date
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
import zstandard

from dragoman.errors import InputError
from dragoman.text import lines
from dragoman.text.catalogues import read_gettext
from dragoman.text.documents import Gettext, Tmx, Xliff, Xlsx
from dragoman.text.lines import read_lines
from dragoman.text.splits import texts_alone
from scripts_for_tests import SCRIPTS

# translate-toolkit's package has the name of a script of ours, which some test may have imported by that name.
paths = list(sys.path)
sys.path[:] = [path for path in paths if Path(path).resolve() != SCRIPTS.resolve()]
sys.modules.pop("translate", None)
from translate.storage import mo, pypo, tmx, xliff  # noqa: E402

sys.path[:] = paths

COMMON = {"validation": None, "test": None, "validation_size": 1, "test_size": 1, "seed": 0}
EN_FR = COMMON | {"source_language": "en", "target_language": "fr"}
PAIRS = [("Hello.", "Bonjour."), ("A & b < c", "A et b « c »"), ("東京", "Tokyo \u2028 🗼")]


def tmx_file(path: Path, pairs=PAIRS) -> Path:
    store = tmx.tmxfile(sourcelanguage="en-US")
    for english, french in pairs:
        store.addtranslation(english, "en-US", french, "fr")
    path.write_bytes(bytes(store))
    return path


def xliff_file(path: Path) -> Path:
    store = xliff.xlifffile(sourcelanguage="en", targetlanguage="fr")
    for english, french in PAIRS:
        store.addsourceunit(english).target = french
    store.addsourceunit("Nobody has translated this.")
    path.write_bytes(bytes(store))
    return path


def pairs_of(corpus) -> list[tuple[str, str]]:
    split = corpus.read("train")
    return list(zip(split["source"], split["target"], strict=True))


def test_translation_memories(place):
    path = tmx_file(place / "a.tmx")
    assert pairs_of(Tmx(train=str(path), **EN_FR)) == PAIRS
    reverse = COMMON | {"source_language": "fr", "target_language": "en"}
    assert pairs_of(Tmx(train=str(path), **reverse)) == [(french, english) for english, french in PAIRS]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)]
)
def test_packed_memories(place, suffix, pack):
    packed = place / f"a.tmx{suffix}"
    packed.write_bytes(pack(tmx_file(place / "a.tmx").read_bytes()))
    assert pairs_of(Tmx(train=str(packed), **EN_FR)) == PAIRS
    packed.write_bytes(pack(tmx_file(place / "a.tmx", PAIRS * 5000).read_bytes())[:-20])
    with pytest.raises(InputError, match=rf"a\.tmx{re.escape(suffix)}"):
        pairs_of(Tmx(train=str(packed), **EN_FR))


def test_units_of_many_languages_and_inline_codes(place):
    (place / "b.tmx").write_text(
        """<?xml version="1.0"?><tmx version="1.4"><header/><body>
        <tu><tuv xml:lang="EN-gb"><seg>The <bpt i="1">&lt;b&gt;</bpt>red<ept i="1">&lt;/b&gt;</ept>
          cat<ph>\\n</ph>.</seg></tuv><tuv xml:lang="de"><seg>Die Katze.</seg></tuv>
          <tuv xml:lang="fr-FR"><seg>Le <hi>chat</hi> rouge.</seg></tuv></tu>
        <tu><tuv xml:lang="en"><seg>Only English.</seg></tuv></tu>
        <tu><tuv xml:lang="en"><seg></seg></tuv><tuv xml:lang="fr"><seg>Vide.</seg></tuv></tu>
        <tu><tuv lang="en-US"><seg>American.</seg></tuv><tuv lang="en"><seg>Plain.</seg></tuv>
          <tuv lang="fr"><seg>Simple.</seg></tuv></tu></body></tmx>"""
    )
    found = pairs_of(Tmx(train=str(place / "b.tmx"), **EN_FR))
    assert found == [("The red cat.", "Le chat rouge."), ("Plain.", "Simple.")]
    with pytest.raises(
        InputError, match=r"no unit with both en and it \(its languages: EN-gb, de, en, en-US, fr, fr-FR\)"
    ):
        pairs_of(Tmx(train=str(place / "b.tmx"), **(EN_FR | {"target_language": "it"})))


def test_a_large_memory_is_streamed(place):
    """Units are freed behind the reader: what lxml holds of 60,000 is less than of the file at once."""
    from dragoman.text.interchange import read_tmx

    path = tmx_file(place / "big.tmx", [(f"Sentence {i}.", f"Phrase {i}.") for i in range(2000)])
    text = path.read_text()
    head, body, tail = (
        text.partition("<body>")[0] + "<body>",
        text.partition("<body>")[2].rpartition("</body>")[0],
        "</body></tmx>",
    )
    path.write_text(head + body * 30 + tail)
    count = sum(1 for _ in read_tmx(path, "en", "fr"))
    assert count == 60_000
    with open(path, "a") as file:
        file.write("<")
    found = read_tmx(path, "en", "fr")
    assert next(found)[:2] == ("Sentence 0.", "Phrase 0.")  # long before the end, which is broken


def test_xliff_along_and_against_its_direction(place):
    path = xliff_file(place / "a.xlf")
    assert pairs_of(Xliff(train=str(path), **EN_FR)) == PAIRS
    reverse = COMMON | {"source_language": "fr", "target_language": "en"}
    assert pairs_of(Xliff(train=str(path), **reverse)) == [(french, english) for english, french in PAIRS]
    (place / "two.xlf").write_text(
        """<xliff version="2.0" srcLang="en-US" trgLang="fr" xmlns="urn:oasis:names:tc:xliff:document:2.0">
        <file id="f"><unit id="1"><segment><source>Hello <pc id="1">you</pc>.</source><target>Bonjour toi.</target>
        </segment><segment><source>Not yet.</source></segment></unit></file></xliff>"""
    )
    assert pairs_of(Xliff(train=str(place / "two.xlf"), **EN_FR)) == [("Hello you.", "Bonjour toi.")]


def catalogue(path: Path) -> Path:
    """One entry of each kind: plain, plural, fuzzy, not translated, obsolete."""
    store = pypo.pofile()
    store.updateheader(add=True, language="fr", plural_forms="nplurals=2; plural=(n > 1);")
    for english, french in PAIRS[:2]:
        store.addsourceunit(english).target = french
    fuzzy = store.addsourceunit("Fuzzy.")
    fuzzy.target = "Flou."
    fuzzy.markfuzzy()
    store.addsourceunit("Open.")
    text = (
        bytes(store).decode()
        + '\nmsgid "%d dog"\nmsgid_plural "%d dogs"\nmsgstr[0] "%d chien"\nmsgstr[1] "%d chiens"\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + '\n#~ msgid "Old."\n#~ msgstr "Vieux."\n')
    return path


def test_gettext_catalogues_and_trees_of_them(place):
    path = catalogue(place / "app" / "fr" / "LC_MESSAGES" / "app.po")
    expected = [*PAIRS[:2], ("%d dog", "%d chien"), ("%d dogs", "%d chiens")]
    assert pairs_of(Gettext(train=str(path), msgid_language="en", **EN_FR)) == expected
    compiled = path.with_suffix(".mo")
    compiled.write_bytes(bytes(mo.mofile.parsestring(bytes(made(path)))))
    assert sorted(pairs_of(Gettext(train=str(compiled), msgid_language="en", **EN_FR))) == sorted(expected)
    compiled.unlink()
    catalogue(place / "app" / "de" / "LC_MESSAGES" / "app.po")
    catalogue(place / "app" / "po" / "fr.po")
    assert len(pairs_of(Gettext(train=str(place / "app"), msgid_language="en", **EN_FR))) == 2 * len(expected)
    reverse = COMMON | {"source_language": "fr", "target_language": "en"}
    assert pairs_of(Gettext(train=str(path), msgid_language="en", **reverse))[0] == PAIRS[0][::-1]
    with pytest.raises(InputError, match=r"holds no \.po or \.mo file of it"):
        pairs_of(Gettext(train=str(place / "app"), msgid_language="en", **(EN_FR | {"target_language": "it"})))
    assert pairs_of(Gettext(train=str(place / "app" / "fr"), msgid_language="en", **EN_FR)) == expected


@pytest.mark.parametrize(
    ("asked", "there", "count"),
    [
        ("fr", ["fr_CA"], 1),
        ("fr-CA", ["fr_CA"], 1),
        ("fr_CA", ["fr"], 1),
        ("fr", ["fr_CA", "fr"], 1),
        ("fr", ["fr_CA", "fr-BE"], 2),
        ("FR", ["fr"], 1),
    ],
)
def test_a_language_finds_its_regions_where_it_is_not_there_itself(place, asked, there, count):
    for name in (*there, "de", "frisian"):
        catalogue(place / "app" / name / "LC_MESSAGES" / "app.po")
    found = pairs_of(Gettext(train=str(place / "app"), msgid_language="en", **(EN_FR | {"target_language": asked})))
    assert len(found) == 4 * count


def test_a_catalogue_cut_anywhere_is_refused_or_a_beginning_of_the_whole(place):
    content = catalogue(place / "fr.po").read_bytes()
    whole = pairs_of(Gettext(train=str(place / "fr.po"), msgid_language="en", **EN_FR))
    (place / "whole.mo").write_bytes(compiled := bytes(made(place / "fr.po")))
    refused = 0
    for number, (suffix, part) in enumerate(
        [("po", content[:end]) for end in range(0, len(content), 3)]
        + [("mo", compiled[:end]) for end in range(0, len(compiled), 7)]
    ):
        path = place / f"{number}.{suffix}"
        path.write_bytes(part)
        try:
            found = [pair[:2] for pair in read_gettext(path, "en", "en", "fr")]
        except InputError:
            refused += 1
        else:
            assert suffix == "po", number
            assert found[:3] == whole[: len(found)][:3]  # the last, a plural, may lack a form: some languages have one
    assert refused > len(compiled) // 7


def made(path: Path) -> mo.mofile:
    """The catalogue as translate-toolkit compiles it."""
    store = mo.mofile()
    for unit in pypo.pofile.parsefile(str(path)).units:
        if unit.istranslated() or unit.isheader():
            target = store.addsourceunit(unit.source)
            target.target = unit.target
    return store


def sheet(path: Path, rows, title="Pairs") -> Path:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    page = book.create_sheet(title, 0)
    for row in rows:
        page.append(row)
    book.save(path)
    return path


def test_spreadsheets(place):
    path = sheet(
        place / "a.xlsx",
        [("id", "English", "French", 1), *((i, *pair, date(2026, 1, 2)) for i, pair in enumerate(PAIRS)), (), (9, "x")],
    )
    named = {"source_column": "English", "target_column": "French"}
    assert pairs_of(Xlsx(train=str(path), sheet=None, **named, **EN_FR)) == [*PAIRS, ("x", "")]
    assert pairs_of(Xlsx(train=str(path), sheet="Pairs", source_column=2, target_column=3, **EN_FR))[1] == PAIRS[0]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_line_that_unpacks_without_end_is_refused(place, suffix, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 1 << 20)
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}[suffix]
    bomb = place / f"bomb.txt{suffix}"
    bomb.write_bytes(pack(b"fine\n" + bytes(50 << 20)))
    assert bomb.stat().st_size < 100_000
    found = read_lines(bomb)
    assert next(found) == "fine"
    with pytest.raises(InputError, match="line 2 has over 1 MiB"):
        next(found)


def bomb(path: Path) -> Path:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY l0 "lol">{entities}]><tmx><body><tu>'
        '<tuv xml:lang="en"><seg>&l9;</seg></tuv><tuv xml:lang="fr"><seg>x</seg></tuv></tu></body></tmx>'
    )
    return path


def outside(path: Path) -> Path:
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE tmx [<!ENTITY f SYSTEM "file:///etc/passwd">]><tmx><body><tu>'
        '<tuv xml:lang="en"><seg>a&f;</seg></tuv><tuv xml:lang="fr"><seg>x</seg></tuv></tu></body></tmx>'
    )
    return path


def cut(path: Path) -> Path:
    path.write_bytes(tmx_file(path).read_bytes()[:-60])
    return path


def cut_mo(path: Path) -> Path:
    content = bytes(made(catalogue(path.with_suffix(".po"))))
    path.write_bytes(content[: len(content) // 2])
    return path


def oversized(path: Path) -> Path:
    """Says of itself that it unpacks to 4 GiB less one."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = b"\xfe\xff\xff\xff"
    path.write_bytes(data)
    return path


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


XLSX = {"sheet": None, "source_column": 1, "target_column": 2}
BROKEN = {
    "cut.tmx": (cut, Tmx, {}, r"cut\.tmx, line \d+: this is not well-formed XML"),
    "bomb.tmx": (bomb, Tmx, {}, r"bomb\.tmx, line 1: .*(is not expanded|entities unfold)"),
    "outside.tmx": (outside, Tmx, {}, r"outside\.tmx, line 1: the entity &f; is not expanded"),
    "none.tmx": (
        lambda path: text(path, "<tmx><body/></tmx>"),
        Tmx,
        {},
        r"no unit with both en and fr \(its languages: none\)",
    ),
    "fake.xlf": (lambda path: text(path, "not XML"), Xliff, {}, r"fake\.xlf, line 1: this is not well-formed XML"),
    "bad.po": (
        lambda path: text(path, 'msgid "a"\nnonsense\n'),
        Gettext,
        {"msgid_language": "en"},
        r"bad\.po ends inside an entry, cut off or damaged",
    ),
    "bad.mo": (
        lambda path: text(path, "not a catalogue"),
        Gettext,
        {"msgid_language": "en"},
        r"bad\.mo cannot be read as a",
    ),
    "a.po": (
        catalogue,
        Gettext,
        {"msgid_language": "de"},
        r"corpus\.msgid_language \(de\) must be one of the two languages",
    ),
    "bad.xlsx": (lambda path: text(path, "not a zip"), Xlsx, XLSX, r"bad\.xlsx is not a spreadsheet"),
    "bomb.xlsx": (oversized, Xlsx, XLSX, r"bomb\.xlsx would unpack to 4,294,967,294 bytes"),
    "narrow.xlsx": (
        lambda path: sheet(path, [("a", "b"), ("c",)]),
        Xlsx,
        XLSX | {"target_column": 3},
        r"row 1 has 2 columns, but",
    ),
    "named.xlsx": (
        lambda path: sheet(path, [("en", "de")]),
        Xlsx,
        {"sheet": None, "source_column": "en", "target_column": "fr"},
        "has no column 'fr' but 'en', 'de'",
    ),
    "sheet.xlsx": (
        lambda path: sheet(path, [("a", "b")]),
        Xlsx,
        XLSX | {"sheet": "Page"},
        "has no sheet 'Page' but 'Pairs', 'Notes'",
    ),
    "cut.mo": (cut_mo, Gettext, {"msgid_language": "en"}, r"cut\.mo ends inside an entry"),
    "cut.po": (
        lambda path: text(path, 'msgid "a"\nmsgstr "b"\n\nmsgid "Hello."\nmsgstr "Bonj'),
        Gettext,
        {"msgid_language": "en"},
        r"cut\.po ends inside an entry",
    ),
    "mixed.xlsx": (
        lambda path: sheet(path, [("a", "b"), ("c", 5)]),
        Xlsx,
        XLSX,
        r"mixed\.xlsx, line 2: target: 5 is not text; mend or remove it",
    ),
    "dated.xlsx": (
        lambda path: sheet(path, [(date(2026, 1, 2), "b")]),
        Xlsx,
        XLSX,
        r"dated\.xlsx, line 1: source: 2026-01-02 00:00:00 is not text",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence_and_leaves_nothing_to_be_trusted(place, name):
    make, kind, keys, message = BROKEN[name]
    path = make(place / name)
    corpus = kind(train=str(path), **keys, **EN_FR)
    for _ in range(2):  # a second start does not find half a corpus
        with pytest.raises(InputError, match=message) as caught:
            texts_alone("train", corpus.read("train"))
        assert "\n" not in str(caught.value)
