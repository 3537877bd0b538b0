"""The French voice of the trees: agreement and word order here, the joints between words in `sandhi`."""

from dragoman.text.pocket.lexicon import CONJUNCTIONS, NUMERALS, PREPOSITIONS, TIMES
from dragoman.text.pocket.morphology import (
    adjective_form,
    auxiliary,
    demonstrative,
    finite,
    inflect,
    join,
    possessive,
    starts_with_vowel,
)
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

NEGATIONS = {"not": "pas", "never": "jamais"}
ADVERBS = {"always": "toujours", "often": "souvent"}
QUESTIONS = {"": [], "why": ["pourquoi"], "where": ["où"]}
SUBJECTS = {"I": "je", "we": "nous", "you": "vous", "he": "il", "she": "elle"}


def french(tree: Utterance) -> str:
    """The French sentence."""
    if isinstance(tree, Question):
        words, mark = [*QUESTIONS[tree.word], "est-ce", "que", *clause(tree.clause)], " ?"
    elif isinstance(tree, Exclamation):
        quel = inflect("quel", "quelle", agreement(tree.phrase))
        words, mark = [quel, *noun_group(tree.phrase)], " !"
    else:
        words, mark = _sentence(tree), "."
    text = join(words)
    return text[0].upper() + text[1:] + mark


def _sentence(tree: Sentence) -> list[str]:
    return [*_opening(tree.opening), *clause(tree.main), *(word for link in tree.links for word in _link(link))]


def _opening(opening: str | Prepositional | Link | None) -> list[str]:
    if opening is None:
        return []
    if isinstance(opening, str):
        return [TIMES[opening][1], ","]
    if isinstance(opening, Prepositional):
        return [*_prepositional(opening), ","]
    return [*CONJUNCTIONS[opening.conjunction].split(), *clause(opening.clause), ","]


def _link(link: Link) -> list[str]:
    comma = [","] if link.conjunction in ("and", "but") else []
    return [*comma, *CONJUNCTIONS[link.conjunction].split(), *clause(link.clause)]


def clause(tree: Clause) -> list[str]:
    """Subject, verb group, complements, place."""
    return [*nominal(tree.subject), *_verb_group(tree), *_complements(tree), *_prepositional(tree.place)]


def _verb_group(tree: Clause) -> list[str]:
    """ne … pas around the finite verb; the adverb stands before the participle."""
    finite_verb, *rest = _verbs(tree)
    if tree.adverb in NEGATIONS:
        return ["ne", finite_verb, NEGATIONS[tree.adverb], *rest]
    return [finite_verb, *([ADVERBS[tree.adverb]] if tree.adverb else []), *rest]


def _verbs(tree: Clause) -> list[str]:
    predicate, who = tree.predicate, agreement(tree.subject)
    if isinstance(predicate, Passive):
        being = (
            ["a" if who.number == "singular" else "ont", "été"]
            if tree.tense == "past"
            else [auxiliary("être", tree.tense, who)]
        )
        feminine = predicate.verb.french_participle + "e"
        return [*being, inflect(predicate.verb.french_participle, feminine, who)]
    if not isinstance(predicate, Action | Report):
        return [auxiliary("être", "imperfect" if tree.tense == "past" else tree.tense, who)]
    if isinstance(predicate, Action) and predicate.modal is not None:
        return [finite(predicate.modal, tree.tense, who), predicate.verb.infinitive]
    verb = predicate.verb
    if tree.tense != "past":
        return [finite(verb, tree.tense, who)]
    return [auxiliary(verb.auxiliary, "present", who), _past_participle(tree)]


def _past_participle(tree: Clause) -> str:
    """With être it agrees with the subject, with avoir with a direct object before it: « la pomme qu'il a mangée »."""
    predicate = tree.predicate
    assert isinstance(predicate, Action | Report)
    participle = predicate.verb.french_participle
    if predicate.verb.auxiliary == "être":
        return inflect(participle, participle + "e", agreement(tree.subject))
    if isinstance(predicate, Action) and isinstance(predicate.object, Gap):
        return inflect(participle, participle + "e", agreement(predicate.object))
    return participle


def _complements(tree: Clause) -> list[str]:
    predicate = tree.predicate
    if isinstance(predicate, Passive):
        return ["par", *nominal(predicate.agent)]
    if isinstance(predicate, Report):
        return ["que", *clause(predicate.content)]
    if isinstance(predicate, Action):
        to = [predicate.verb.preposition] if predicate.verb.preposition else []
        receiver = ["à", *nominal(predicate.receiver)] if predicate.receiver is not None else []
        return [*to, *nominal(predicate.object), *receiver]
    who = agreement(tree.subject)
    forms = [form for word in predicate.adjectives for form in ("et", inflect(word.masculine, word.feminine, who))][1:]
    degree = {"too": ["trop"], "very": ["très"], "": []}[predicate.degree]
    return [*degree, *forms]


def _prepositional(tree: Prepositional | None) -> list[str]:
    return [] if tree is None else [*PREPOSITIONS[tree.preposition].split(), *nominal(tree.nominal)]


def nominal(tree: Nominal | None) -> list[str]:
    """The words of a phrase; none for a gap."""
    if tree is None or isinstance(tree, Gap):
        return []
    if isinstance(tree, Name):
        return [tree.text]
    if isinstance(tree, Pronoun):
        return [_pronoun(tree)]
    if isinstance(tree, Coordination):
        return [*nominal(tree.first), CONJUNCTIONS[tree.conjunction], *nominal(tree.second)]
    return noun_phrase(tree)


def _pronoun(tree: Pronoun) -> str:
    singular = "il" if tree.agreement.gender == "m" else "elle"
    if tree.english == "they":
        return singular + "s"
    return SUBJECTS.get(tree.english, singular)


def noun_phrase(tree: NounPhrase) -> list[str]:
    """Determiner, noun group, possessor, phrase, relative clause."""
    group = noun_group(tree)
    possessor = ["de", *nominal(tree.possessor)] if tree.possessor is not None else []
    relative: list[str] = []
    if tree.relative is not None:
        relative = ["qui" if isinstance(tree.relative.subject, Gap) else "que", *clause(tree.relative)]
    return [*_determiner(tree, group[0]), *group, *possessor, *_prepositional(tree.phrase), *relative]


def noun_group(tree: NounPhrase) -> list[str]:
    """The noun between its adjectives: « vieil homme fatigué », « route longue et dangereuse »."""
    who = agreement(tree)
    words = [tree.noun.french if tree.number == "singular" else tree.noun.french_plural]
    for adjective in reversed([adjective for adjective in tree.adjectives if adjective.place == "before"]):
        words = [adjective_form(adjective, who, words[0]), *words]
    after = [adjective_form(adjective, who, "") for adjective in tree.adjectives if adjective.place != "before"]
    return [*words, *" et ".join(after).split()]


def _determiner(tree: NounPhrase, following: str) -> list[str]:
    who, word = agreement(tree), tree.determiner
    one = who.number == "singular"
    if tree.possessor is not None or word == "the":
        return [inflect("le", "la", who) if one else "les"]
    if word in ("this", "that"):
        return [demonstrative(who, following)]
    if word in ("not a", "not some"):
        return ["de"]
    if word == "a":
        return [inflect("un", "une", who)]
    if word == "some":
        return _some(tree)
    if word == "every":
        return ["chaque"]
    if word in NUMERALS:
        return NUMERALS[word].split()
    return [possessive(word, who, starts_with_vowel(following))]


def _some(tree: NounPhrase) -> list[str]:
    """Partitive « du pain », « de l'eau »; plural « des chats », but « de petits chats »."""
    if tree.number == "singular":
        return ["de", inflect("le", "la", agreement(tree))]
    return ["de" if any(adjective.place == "before" for adjective in tree.adjectives) else "des"]
