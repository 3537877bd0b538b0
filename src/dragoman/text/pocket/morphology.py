"""French forms: agreement, the finite verbs, and what happens where two words meet."""

from dragoman.text.pocket.words import Adjective, Agreement, Verb

ASPIRATED = ("hibou", "haut")  # the other words in h of the lexicon are mute: l'homme, l'horloge, l'hôpital
VOWELS = "aeiouyàâéèêëîïôöûùœ"
ELIDED = {"le": "l'", "la": "l'", "de": "d'", "que": "qu'", "ne": "n'", "je": "j'"}
CONTRACTED = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}
ENDINGS = ("ai", "a", "ons", "ez", "ont")
AVOIR = ("ai", "a", "avons", "avez", "ont")
ETRE = {
    "present": ("suis", "est", "sommes", "êtes", "sont"),
    "imperfect": ("étais", "était", "étions", "étiez", "étaient"),
    "future": tuple("ser" + ending for ending in ENDINGS),
}
POSSESSIVES = {
    "my": ("mon", "ma", "mes"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
    "our": ("notre", "notre", "nos"),
    "your": ("votre", "votre", "vos"),
    "their": ("leur", "leur", "leurs"),
}


def starts_with_vowel(word: str) -> bool:
    """Whether « le » elides before the word."""
    first = word[0].lower()
    return first in VOWELS or (first == "h" and not word.startswith(ASPIRATED))


def inflect(masculine: str, feminine: str, who: Agreement) -> str:
    """The form of an adjective or a participle that agrees: beau, belle, beaux, belles."""
    form = masculine if who.gender == "m" else feminine
    if who.number == "singular" or form[-1] in "sx":
        return form
    return form + ("x" if form.endswith("eau") else "s")


def adjective_form(adjective: Adjective, who: Agreement, following: str) -> str:
    """Like `inflect`, and « bel, vieil, nouvel » in the masculine singular before a vowel."""
    if (who.gender, who.number) == ("m", "singular") and following and starts_with_vowel(following):
        return adjective.before_vowel
    return inflect(adjective.masculine, adjective.feminine, who)


def demonstrative(who: Agreement, following: str) -> str:
    """Ce, cet, cette, ces."""
    if who.number == "plural":
        return "ces"
    if who.gender == "f":
        return "cette"
    return "cet" if starts_with_vowel(following) else "ce"


def possessive(english: str, who: Agreement, before_vowel: bool) -> str:
    """Mon, ma, mes; « mon amie » before a vowel."""
    masculine, feminine, plural = POSSESSIVES[english]
    if who.number == "plural":
        return plural
    return masculine if who.gender == "m" or before_vowel else feminine


def _row(who: Agreement) -> int:
    """The place of a person in the five forms je, il, nous, vous, ils."""
    if who.person == 3:
        return 1 if who.number == "singular" else 4
    if who.person == 2:
        return 3
    return 0 if who.number == "singular" else 2


def auxiliary(verb: str, tense: str, who: Agreement) -> str:
    """Avoir (present) or être."""
    tense = "future" if tense == "prospective" else tense
    return AVOIR[_row(who)] if verb == "avoir" else ETRE[tense][_row(who)]


def finite(verb: Verb, tense: str, who: Agreement) -> str:
    """Present or future of a verb."""
    return verb.present[_row(who)] if tense == "present" else verb.future + ENDINGS[_row(who)]


def join(words: list[str]) -> str:
    """The words as text, with contraction first (« au », « du ») and elision elsewhere (« de l'eau », « qu'il »)."""
    text: list[str] = []
    for word, following in zip(words, [*words[1:], "."], strict=True):
        vowel = starts_with_vowel(following) if following not in ",." else False
        if text and (text[-1], word) in CONTRACTED and not (vowel and word == "le"):
            text[-1] = CONTRACTED[text[-1], word]
        elif word in ELIDED and vowel:
            text.append(ELIDED[word])
        elif text and text[-1].endswith("'"):
            text[-1] += word
        else:
            text.append(word)
    return " ".join(text).replace(" ,", ",")
