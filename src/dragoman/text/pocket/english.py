"""The English voice of the trees: each function returns words."""

from dragoman.text.pocket.lexicon import TIMES
from dragoman.text.pocket.trees import (
    Action,
    Clause,
    Coordination,
    Exclamation,
    Gap,
    Link,
    Name,
    Nominal,
    NounPhrase,
    Passive,
    Prepositional,
    Pronoun,
    Question,
    Report,
    Sentence,
    Utterance,
    agreement,
)
from dragoman.text.pocket.words import Agreement

DETERMINERS = {"not a": "a", "not some": "any"}
CONTRACTIONS = {"will": "won't", "can": "can't"}
PLURALS = {"this": "these", "that": "those"}


def english(tree: Utterance) -> str:
    """The English sentence."""
    if isinstance(tree, Question):
        words, mark = _question(tree), "?"
    elif isinstance(tree, Exclamation):
        words, mark = ["what", *noun_phrase(tree.phrase)], "!"
    else:
        words, mark = _sentence(tree), "."
    text = " ".join(words).replace(" ,", ",")
    return text[0].upper() + text[1:] + mark


def _sentence(tree: Sentence) -> list[str]:
    return [*_opening(tree.opening), *clause(tree.main), *(word for link in tree.links for word in _link(link))]


def _opening(opening: str | Prepositional | Link | None) -> list[str]:
    if opening is None:
        return []
    if isinstance(opening, str):
        return [TIMES[opening][0], ","]
    if isinstance(opening, Prepositional):
        return [*_prepositional(opening), ","]
    return [opening.conjunction, *clause(opening.clause), ","]


def _link(link: Link) -> list[str]:
    comma = [","] if link.conjunction in ("and", "but") else []
    return [*comma, link.conjunction, *clause(link.clause)]


def clause(tree: Clause) -> list[str]:
    """Subject, verb group, complements, place."""
    return [*nominal(tree.subject), *_verb_group(tree), *_complements(tree), *_prepositional(tree.place)]


def _question(tree: Question) -> list[str]:
    """The helper verb comes before the subject."""
    helper, *rest = _helped(tree.clause)
    word = [tree.word] if tree.word else []
    subject = nominal(tree.clause.subject)
    return [*word, helper, *subject, *rest, *_complements(tree.clause), *_prepositional(tree.clause.place)]


def _verb_group(tree: Clause) -> list[str]:
    """The finite verb with its adverb; "not" and the future need a helper."""
    head, helper = _head(tree)
    if helper or tree.tense == "future" or tree.adverb == "not":
        return _helped(tree)
    adverb = [tree.adverb] if tree.adverb else []
    return [*adverb, _finite(tree, agreement(tree.subject)), *head[1:]]


def _helped(tree: Clause) -> list[str]:
    """The verb group that begins with a helper: is, can, will, does."""
    who = agreement(tree.subject)
    head, helper = _head(tree)
    if tree.tense == "future":
        first, rest = "will", head
    elif helper == "be":
        first, rest = be(who, tree.tense), head[1:]
    else:
        first, rest = (helper, head[1:]) if helper else (_do(who, tree.tense), head)
    if tree.adverb == "not":
        return [CONTRACTIONS.get(first, first + "n't"), *rest]
    return [first, *([tree.adverb] if tree.adverb else []), *rest]


def _head(tree: Clause) -> tuple[list[str], str]:
    """The infinitive group of a predicate, and the verb in it that needs no "do"."""
    predicate = tree.predicate
    if isinstance(predicate, Passive):
        return ["be", predicate.verb.participle], "be"
    if isinstance(predicate, Report):
        return [predicate.verb.english], ""
    if not isinstance(predicate, Action):
        return ["be"], "be"
    if predicate.modal is None:
        return [predicate.verb.english], ""
    modal = predicate.modal.english
    return [modal, predicate.verb.english], modal if modal in ("can", "must") else ""


def _finite(tree: Clause, who: Agreement) -> str:
    assert isinstance(tree.predicate, Action | Report)
    verb = tree.predicate.verb
    if isinstance(tree.predicate, Action) and tree.predicate.modal is not None:
        verb = tree.predicate.modal
    if tree.tense == "past":
        return verb.past
    return verb.third if (who.person, who.number) == (3, "singular") else verb.english


def be(who: Agreement, tense: str) -> str:
    """The finite form of "be"."""
    if who.number == "plural" or who.person == 2:
        return "were" if tense == "past" else "are"
    return "was" if tense == "past" else "am" if who.person == 1 else "is"


def _do(who: Agreement, tense: str) -> str:
    if tense == "past":
        return "did"
    return "does" if (who.person, who.number) == (3, "singular") else "do"


def _complements(tree: Clause) -> list[str]:
    predicate = tree.predicate
    if isinstance(predicate, Passive):
        return ["by", *nominal(predicate.agent)]
    if isinstance(predicate, Report):
        return ["that", *clause(predicate.content)]
    if isinstance(predicate, Action):
        to = ["to"] if predicate.receiver or predicate.verb.english == "go" else []
        if predicate.receiver is None:
            return [*to, *nominal(predicate.object)]
        return [*nominal(predicate.object), *to, *nominal(predicate.receiver)]
    words = [word for adjective in predicate.adjectives for word in ("and", adjective.english)][1:]
    return [predicate.degree, *words] if predicate.degree else words


def _prepositional(tree: Prepositional | None) -> list[str]:
    return [] if tree is None else [tree.preposition, *nominal(tree.nominal)]


def nominal(tree: Nominal | None) -> list[str]:
    """The words of a phrase; none for a gap."""
    if tree is None or isinstance(tree, Gap):
        return []
    if isinstance(tree, Name):
        return [tree.text]
    if isinstance(tree, Pronoun):
        return [tree.english]
    if isinstance(tree, Coordination):
        return [*nominal(tree.first), tree.conjunction, *nominal(tree.second)]
    return noun_phrase(tree)


def noun_phrase(tree: NounPhrase) -> list[str]:
    """Determiner or possessor, adjectives, noun, phrase, relative clause."""
    noun = tree.noun.english if tree.number == "singular" else tree.noun.english_plural
    separator = " and " if tree.adjectives and tree.adjectives[0].place == "after" else " "
    words = [*separator.join(adjective.english for adjective in tree.adjectives).split(), noun]
    front = _determiner(tree, words[0])
    relative = [] if tree.relative is None else [_relative_pronoun(tree), *clause(tree.relative)]
    return [*front, *words, *_prepositional(tree.phrase), *relative]


def _determiner(tree: NounPhrase, following: str) -> list[str]:
    if tree.possessor is not None:
        *words, last = nominal(tree.possessor)
        return [*words, last + "'s"]
    word = DETERMINERS.get(tree.determiner, tree.determiner)
    if word == "a":
        return ["an" if following[0] in "aeiou" else "a"]
    if tree.number == "plural":
        word = PLURALS.get(word, word)
    return [word]


def _relative_pronoun(tree: NounPhrase) -> str:
    assert tree.relative is not None
    human = isinstance(tree.relative.subject, Gap) and "person" in tree.noun.kinds
    return "who" if human else "that"
