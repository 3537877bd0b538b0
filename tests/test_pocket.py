"""The pocket corpus: its French, its laws, its splits."""

import re
import unicodedata
from collections import Counter, defaultdict
from functools import cache
from itertools import cycle
from zlib import crc32

import pytest

from dragoman.text.pocket import HELD_OUT, SHOWCASE, SHOWCASE_PAIRS, Example, Pair, examples, generate
from dragoman.text.pocket.choices import Dice
from dragoman.text.pocket.corpus import SEEN, english, french, render, take
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.homographs import SENSES
from dragoman.text.pocket.lexicon import ADJECTIVES, NAMES, PRONOUNS, VERBS
from dragoman.text.pocket.nouns import NOUNS
from dragoman.text.pocket.sentences import contrast
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
    State,
    Utterance,
    agreement,
)
from dragoman.text.pocket.words import Adjective

CHECKSUM = 1503132616  # of the first 300 pairs of each split, seed 2026: a new grammar has a new one
SIZES = {"train": 12_000, "validation": 1_000, "test": 2_000}


@cache
def split(name: str) -> tuple[Example, ...]:
    return tuple(examples(name, size=SIZES[name], seed=2026))


def everything() -> list[Example]:
    return [example for name in SIZES for example in split(name)]


def adjectives(words: str) -> tuple[Adjective, ...]:
    return tuple(ADJECTIVES[word] for word in words.split())


def phrase(text: str, plural: str = "", **more: object) -> NounPhrase:
    """ "my old cat", or with `plural` the plural of it."""
    determiner, *words, noun = text.split()
    number = "plural" if plural else "singular"
    return NounPhrase(NOUNS[noun], number, determiner.replace("_", " "), adjectives(" ".join(words)), **more)


def say(
    subject: Nominal, verb: str, thing: Nominal | None = None, tense: str = "past", adverb: str = "", **more: object
) -> Sentence:
    modal, _, verb = verb.rpartition("+")
    action = Action(VERBS[verb], thing, modal=VERBS[modal] if modal else None)
    return Sentence(Clause(subject, action, tense, adverb, **more))


def be(subject: Nominal, words: str, tense: str = "past", adverb: str = "", degree: str = "") -> Sentence:
    return Sentence(Clause(subject, State(adjectives(words), degree), tense, adverb))


def with_relative(text: str, clause: Sentence, plural: str = "") -> NounPhrase:
    return phrase(text, plural, relative=clause.main)


def gap(noun: str, plural: str = "") -> Gap:
    return Gap(NOUNS[noun], "plural" if plural else "singular")


NAMED = {name.text: name for name in NAMES}
PRONOUN = {pronoun.english: pronoun for pronoun in PRONOUNS}
WE, YOU, SHE = PRONOUN["we"], PRONOUN["you"], PRONOUN["she"]
ANNA, PAUL, MARIE = NAMED["Anna"], NAMED["Paul"], NAMED["Marie"]
MAN, CAT = phrase("the man"), phrase("the cat")


def place(preposition: str, text: str) -> Prepositional:
    return Prepositional(preposition, phrase(text))


def chained(first: Sentence, conjunction: str, second: Sentence) -> Sentence:
    return Sentence(first.main, None, (Link(conjunction, second.main),))


EXPECTED: list[tuple[Utterance, str, str]] = [
    # adjectives: form and place
    (say(CAT, "see", phrase("a old tree")), "The cat saw an old tree.", "Le chat a vu un vieil arbre."),
    (say(CAT, "see", phrase("a old house")), "The cat saw an old house.", "Le chat a vu une vieille maison."),
    (say(MAN, "buy", phrase("the old hat")), "The man bought the old hat.", "L'homme a acheté le vieux chapeau."),
    (be(phrase("this beautiful bird"), "tired"), "This beautiful bird was tired.", "Ce bel oiseau était fatigué."),
    (be(phrase("this beautiful cow"), "tired"), "This beautiful cow was tired.", "Cette belle vache était fatiguée."),
    (
        be(phrase("the beautiful bird", "s"), "tired"),
        "The beautiful birds were tired.",
        "Les beaux oiseaux étaient fatigués.",
    ),
    (say(MAN, "buy", phrase("a new piano")), "The man bought a new piano.", "L'homme a acheté un nouveau piano."),
    (say(MAN, "buy", phrase("my new clock")), "The man bought my new clock.", "L'homme a acheté ma nouvelle horloge."),
    (
        say(MAN, "buy", phrase("the new coat", "s")),
        "The man bought the new coats.",
        "L'homme a acheté les nouveaux manteaux.",
    ),
    (say(CAT, "see", phrase("the white dress")), "The cat saw the white dress.", "Le chat a vu la robe blanche."),
    (be(phrase("the queen"), "happy"), "The queen was happy.", "La reine était heureuse."),
    (be(phrase("the king", "s"), "happy"), "The kings were happy.", "Les rois étaient heureux."),
    (be(phrase("the girl", "s"), "jealous"), "The girls were jealous.", "Les filles étaient jalouses."),
    (be(phrase("the soup"), "fresh"), "The soup was fresh.", "La soupe était fraîche."),
    (be(phrase("the meat"), "dry", "present"), "The meat is dry.", "La viande est sèche."),
    (be(phrase("the apple", "s"), "bitter"), "The apples were bitter.", "Les pommes étaient amères."),
    (say(CAT, "push", phrase("the light box")), "The cat pushed the light box.", "Le chat a poussé la boîte légère."),
    (say(CAT, "climb", phrase("this high wall")), "The cat climbed this high wall.", "Le chat a escaladé ce haut mur."),
    (
        say(CAT, "climb", phrase("the high rock")),
        "The cat climbed the high rock.",
        "Le chat a escaladé le haut rocher.",
    ),
    (
        say(MAN, "buy", phrase("a small red box")),
        "The man bought a small red box.",
        "L'homme a acheté une petite boîte rouge.",
    ),
    (
        say(CAT, "cross", phrase("the wide dangerous road")),
        "The cat crossed the wide and dangerous road.",
        "Le chat a traversé la route large et dangereuse.",
    ),
    (
        be(phrase("the hen"), "kind", "future", "not", "very"),
        "The hen won't be very kind.",
        "La poule ne sera pas très gentille.",
    ),
    # articles, elision, contraction
    (say(phrase("the owl"), "sleep"), "The owl slept.", "Le hibou a dormi."),
    (say(phrase("this owl"), "sleep"), "This owl slept.", "Ce hibou a dormi."),
    (say(phrase("that man"), "sleep"), "That man slept.", "Cet homme a dormi."),
    (say(phrase("this animal", "s"), "sleep"), "These animals slept.", "Ces animaux ont dormi."),
    (say(phrase("that mouse", "s"), "sleep"), "Those mice slept.", "Ces souris ont dormi."),
    (say(CAT, "drink", phrase("some water")), "The cat drank some water.", "Le chat a bu de l'eau."),
    (say(CAT, "eat", phrase("some bread")), "The cat ate some bread.", "Le chat a mangé du pain."),
    (say(CAT, "eat", phrase("some meat")), "The cat ate some meat.", "Le chat a mangé de la viande."),
    (say(CAT, "eat", phrase("some egg", "s")), "The cat ate some eggs.", "Le chat a mangé des œufs."),
    (say(CAT, "eat", phrase("some small egg", "s")), "The cat ate some small eggs.", "Le chat a mangé de petits œufs."),
    (say(CAT, "eat", phrase("many egg", "s")), "The cat ate many eggs.", "Le chat a mangé beaucoup d'œufs."),
    (
        say(CAT, "eat", phrase("not_some bread"), adverb="not"),
        "The cat didn't eat any bread.",
        "Le chat n'a pas mangé de pain.",
    ),
    (
        say(CAT, "see", phrase("not_a animal"), adverb="never"),
        "The cat never saw an animal.",
        "Le chat n'a jamais vu d'animal.",
    ),
    (say(MAN, "speak to", phrase("the king")), "The man spoke to the king.", "L'homme a parlé au roi."),
    (say(MAN, "speak to", phrase("the queen", "s")), "The man spoke to the queens.", "L'homme a parlé aux reines."),
    (say(MAN, "speak to", phrase("the uncle")), "The man spoke to the uncle.", "L'homme a parlé à l'oncle."),
    (say(ANNA, "go", phrase("the market")), "Anna went to the market.", "Anna est allée au marché."),
    (say(MARIE, "go", phrase("the hospital")), "Marie went to the hospital.", "Marie est allée à l'hôpital."),
    (
        say(CAT, "sleep", place=place("near", "the river")),
        "The cat slept near the river.",
        "Le chat a dormi près de la rivière.",
    ),
    (
        say(CAT, "sleep", place=place("near", "the lake")),
        "The cat slept near the lake.",
        "Le chat a dormi près du lac.",
    ),
    (
        say(CAT, "sleep", place=place("near", "a old tree")),
        "The cat slept near an old tree.",
        "Le chat a dormi près d'un vieil arbre.",
    ),
    (say(phrase("the dog", possessor=ANNA), "sleep"), "Anna's dog slept.", "Le chien d'Anna a dormi."),
    (
        say(phrase("the black dog", possessor=phrase("the king")), "sleep"),
        "The king's black dog slept.",
        "Le chien noir du roi a dormi.",
    ),
    (say(phrase("my aunt"), "arrive"), "My aunt arrived.", "Ma tante est arrivée."),
    (say(phrase("my clock"), "fall"), "My clock fell.", "Mon horloge est tombée."),
    (say(phrase("your egg", "s"), "fall"), "Your eggs fell.", "Vos œufs sont tombés."),
    (say(SHE, "help", phrase("her sister")), "She helped her sister.", "Elle a aidé sa sœur."),
    (say(SHE, "lose", phrase("her old arrow")), "She lost her old arrow.", "Elle a perdu sa vieille flèche."),
    # tense and conjugation
    (say(PRONOUN["I"], "buy", phrase("a coat"), "present"), "I buy a coat.", "J'achète un manteau."),
    (
        say(PRONOUN["I"], "see", phrase("not_a coat"), "present", "not"),
        "I don't see a coat.",
        "Je ne vois pas de manteau.",
    ),
    (say(WE, "eat", phrase("the cake"), "present"), "We eat the cake.", "Nous mangeons le gâteau."),
    (say(YOU, "write", phrase("the letter"), "future"), "You will write the letter.", "Vous écrirez la lettre."),
    (
        say(WE, "see", phrase("the tree"), "future", "never"),
        "We will never see the tree.",
        "Nous ne verrons jamais l'arbre.",
    ),
    (
        say(phrase("the girl", "s"), "want to+go", phrase("the beach"), "present"),
        "The girls want to go to the beach.",
        "Les filles veulent aller à la plage.",
    ),
    (
        say(CAT, "can+open", phrase("the door"), "present", "not"),
        "The cat can't open the door.",
        "Le chat ne peut pas ouvrir la porte.",
    ),
    (
        say(CAT, "want to+sleep", None, "present", "not"),
        "The cat doesn't want to sleep.",
        "Le chat ne veut pas dormir.",
    ),
    (
        say(phrase("the hen", "s"), "fall", None, "past", "often"),
        "The hens often fell.",
        "Les poules sont souvent tombées.",
    ),
    (say(CAT, "sleep", None, "future", "not"), "The cat won't sleep.", "Le chat ne dormira pas."),
    (
        say(phrase("the boy", "s"), "lose", phrase("the hat"), "present"),
        "The boys lose the hat.",
        "Les garçons perdent le chapeau.",
    ),
    (
        Sentence(Clause(phrase("the river"), Passive(VERBS["cross"], ANNA), "past", "not")),
        "The river wasn't crossed by Anna.",
        "La rivière n'a pas été traversée par Anna.",
    ),
    (
        Sentence(Clause(phrase("the egg", "s"), Passive(VERBS["eat"], CAT), "future")),
        "The eggs will be eaten by the cat.",
        "Les œufs seront mangés par le chat.",
    ),
    (
        Sentence(
            Clause(
                PAUL,
                Action(VERBS["give"], phrase("the bread"), phrase("the boy", "s")),
                "past",
            )
        ),
        "Paul gave the bread to the boys.",
        "Paul a donné le pain aux garçons.",
    ),
    # relatives, coordination, subordination
    (
        say(CAT, "see", with_relative("the apple", say(phrase("the boy"), "eat", gap("apple")))),
        "The cat saw the apple that the boy ate.",
        "Le chat a vu la pomme que le garçon a mangée.",
    ),
    (
        say(CAT, "see", with_relative("the box", say(ANNA, "open", gap("box", "s"), adverb="not"), "s")),
        "The cat saw the boxes that Anna didn't open.",
        "Le chat a vu les boîtes qu'Anna n'a pas ouvertes.",
    ),
    (
        say(with_relative("the woman", say(gap("woman"), "arrive")), "sleep", tense="present"),
        "The woman who arrived sleeps.",
        "La femme qui est arrivée dort.",
    ),
    (
        be(Coordination("and", phrase("the cow"), phrase("the hen")), "sad"),
        "The cow and the hen were sad.",
        "La vache et la poule étaient tristes.",
    ),
    (
        be(Coordination("and", phrase("the cow"), phrase("the dog")), "hungry"),
        "The cow and the dog were hungry.",
        "La vache et le chien étaient affamés.",
    ),
    (
        chained(say(CAT, "sleep", tense="future"), "when", say(ANNA, "arrive", tense="prospective")),
        "The cat will sleep when Anna arrives.",
        "Le chat dormira quand Anna arrivera.",
    ),
    (
        Sentence(Clause(PAUL, Report(VERBS["say"], say(ANNA, "fall").main), "present")),
        "Paul says that Anna fell.",
        "Paul dit qu'Anna est tombée.",
    ),
    # questions, exclamations, openings
    (Question(say(CAT, "sleep", tense="present").main), "Does the cat sleep?", "Est-ce que le chat dort ?"),
    (
        Question(say(ANNA, "eat", phrase("the cake")).main, "why"),
        "Why did Anna eat the cake?",
        "Pourquoi est-ce qu'Anna a mangé le gâteau ?",
    ),
    (
        Question(be(phrase("the dog", "s"), "sick").main),
        "Were the dogs sick?",
        "Est-ce que les chiens étaient malades ?",
    ),
    (Exclamation(phrase("a beautiful animal")), "What a beautiful animal!", "Quel bel animal !"),
    (Exclamation(phrase("a old cow")), "What an old cow!", "Quelle vieille vache !"),
    (
        Sentence(say(CAT, "sleep", tense="future").main, "future"),
        "Tomorrow, the cat will sleep.",
        "Demain, le chat dormira.",
    ),
    (
        Sentence(say(CAT, "sleep").main, place("near", "the hospital")),
        "Near the hospital, the cat slept.",
        "Près de l'hôpital, le chat a dormi.",
    ),
]


@pytest.mark.parametrize(("tree", "source", "target"), EXPECTED, ids=[source for _, source, _ in EXPECTED])
def test_the_tree_is_said_in_both_languages(tree: Utterance, source: str, target: str) -> None:
    assert (english(tree), french(tree)) == (source, target)


def test_there_are_enough_expectations() -> None:
    assert len({source for _, source, _ in EXPECTED}) >= 60


def test_showcase() -> None:
    assert SHOWCASE == (
        "The animal didn't cross the road because it was too tired.",
        "The animal didn't cross the road because it was too wide.",
        "The girl who crossed the river drew the bank.",
    )
    assert [pair.target for pair in SHOWCASE_PAIRS] == [
        "L'animal n'a pas traversé la route parce qu'il était trop fatigué.",
        "L'animal n'a pas traversé la route parce qu'elle était trop large.",
        "La fille qui a traversé la rivière a dessiné la rive.",
    ]
    texts = {text for example in everything() for text in example.pair}
    assert texts.isdisjoint(text for pair in SHOWCASE_PAIRS for text in pair)


def test_same_seed_same_pairs() -> None:
    once = generate("train", size=500, seed=7)
    assert once == generate("train", size=500, seed=7)
    assert once[:200] == generate("train", size=200, seed=7)
    assert once != generate("train", size=500, seed=8)


def test_the_pairs_are_the_same_on_every_machine() -> None:
    """Draws and splits may not depend on the platform, the Python version or the hash seed."""
    text = "\n".join(side for name in SIZES for example in split(name)[:300] for side in example.pair)
    assert crc32(text.encode()) == CHECKSUM


def test_the_splits_share_no_sentence_of_either_language() -> None:
    for side in (0, 1):
        texts = {name: {example.pair[side] for example in split(name)} for name in SIZES}
        assert texts["train"].isdisjoint(texts["validation"] | texts["test"])
        assert texts["validation"].isdisjoint(texts["test"])
    other = {pair.source for pair in generate("train", size=5_000, seed=99)}
    assert other.isdisjoint(example.pair.source for name in ("validation", "test") for example in split(name))
    assert other & {example.pair.source for example in split("train")}  # seeds do meet, so the test could fail


@pytest.mark.parametrize("name", list(SIZES))
def test_no_sentence_comes_twice(name: str) -> None:
    assert len({example.pair.source for example in split(name)}) == len(split(name)) == SIZES[name]


def test_one_english_sentence_has_one_french_sentence() -> None:
    drawn: defaultdict[str, set[str]] = defaultdict(set)
    pairs = [example.pair for example in everything()]
    for seed in range(4):
        pairs += generate("train", size=9_000, seed=seed)
    for source, target in pairs:
        drawn[source].add(target)
    assert len(pairs) > 50_000
    assert len(drawn) < len(pairs)  # some were drawn more than once
    assert {source for source, targets in drawn.items() if len(targets) > 1} == set()


def test_homographs_are_decided_by_their_cues() -> None:
    senses: dict[tuple[str, object, str], str] = {}
    for sense in SENSES:
        for cue in sense.cues:
            assert senses.setdefault((sense.noun.english, cue.relation, cue.noun.key), sense.noun.key) == sense.noun.key
    words = Counter(sense.noun.english for sense in SENSES)
    assert len(words) >= 13
    assert min(words.values()) >= 2


def test_held_out_pairs_are_only_in_the_test_split() -> None:
    share = len(HELD_OUT) / (len(HELD_OUT) + sum(map(len, SEEN.values())))
    assert 0.08 <= share <= 0.12
    for name in ("train", "validation"):
        assert all(HELD_OUT.isdisjoint(example.modifiers) for example in split(name))
    held = [not HELD_OUT.isdisjoint(example.modifiers) for example in split("test")]
    assert sum(held) == len(held) // 2 == 1_000
    assert len(HELD_OUT & {pair for example in split("test") for pair in example.modifiers}) > 100
    said = Counter(word for example in split("train") for pair in example.modifiers for word in pair)
    assert min(said[adjective] for _, adjective in HELD_OUT) > 30


def test_no_text_outside_the_test_split_holds_a_held_out_pair() -> None:
    """The same law, read from the sentences alone."""
    ends = "|".join(rf"{adjective} {form}" for key, adjective in HELD_OUT for form in forms(key))
    states = "|".join(
        rf"^The {form} (?:is|are|was|were|be) (?:too |very )?{adjective}"
        for key, adjective in HELD_OUT
        for form in forms(key)
    )
    law = re.compile(rf"\b(?:{ends})\b|(?:{states})\b")
    assert sum(bool(law.search(example.pair.source)) for example in split("test")) > 500
    found = [
        example.pair for name in ("train", "validation") for example in split(name) if law.search(example.pair.source)
    ]
    assert found == []


def forms(key: str) -> tuple[str, ...]:
    """The English forms of a noun; none for a homograph, whose other sense may not be held out."""
    noun = NOUNS[key]
    return () if ":" in key else tuple(filter(None, (noun.english, noun.english_plural)))


def test_lengths() -> None:
    lengths = sorted(len(example.pair.source.split()) for example in split("train"))
    assert lengths[0] >= 3
    assert 40 < lengths[-1] <= 60
    assert 9 <= lengths[len(lengths) // 2] <= 12
    assert 0.01 < sum(length > 30 for length in lengths) / len(lengths) < 0.06


def test_vocabulary() -> None:
    words = Counter(word for example in split("train") for word in re.findall(r"[\w']+", example.pair.source.lower()))
    stems = {word.removesuffix("'s") for word in words}
    assert 250 <= len(stems) <= 440
    for name in ("validation", "test"):
        seen = {word for example in split(name) for word in re.findall(r"[\w']+", example.pair.source.lower())}
        assert seen <= words.keys()


VOWEL = "(?=[aeiouàâéèêëîïôûœ]|h(?!ibou|aut))"
ODD = re.compile(
    rf"\b(le|la|de|que|ne|je|ce|ma|ta|sa|(le|un|ce|mon|son|notre|votre|leur|au|du) (vieux|beau|nouveau)) {VOWEL}"
    r"|\b(de|à) les? |\b(l|d|qu|n|j)' | {2}| [.,]|^ | $|[^ ][?!]|\b(un|le|ce|au|du) \w*(elle|euse) "
)


def test_the_joints_are_searched_well() -> None:
    for bad in (
        "le arbre",
        "de le roi",
        "à les rois",
        "parce que il",
        "un vieux arbre",
        "ce homme",
        "je ai",
        "ma amie",
        "l' eau",
    ):
        assert ODD.search(f"Il a {bad} ici."), bad
    for good in ("le hibou", "ce haut mur", "de vieux arbres", "l'arbre", "aux hommes", "qu'il"):
        assert not ODD.search(f"Il a {good} ici."), good


def test_the_french_is_well_formed() -> None:
    checked = 0
    for source, target in (example.pair for example in everything()):
        assert not ODD.search(target), target
        assert not re.search(r" {2}|\b[Aa] [aeiou]| [.,?!]|\b[Aa]n [^aeiou]", source), source
        assert target == unicodedata.normalize("NFC", target)
        assert "’" not in source + target
        assert (source[0] + target[0]).isupper()
        assert (source[-1], target[-1]) in ((".", "."), ("?", "?"), ("!", "!"))
        checked += 1
    assert checked == sum(SIZES.values())


def test_neither_position_nor_gender_decides_it() -> None:
    grammar, counts = Grammar(Dice(3), SEEN), Counter[tuple[bool, bool, str]]()
    for _ in range(4_000):
        tree = contrast(grammar)
        reason = tree.opening if isinstance(tree.opening, Link) else tree.links[0]
        pronoun, predicate = reason.clause.subject, tree.main.predicate
        assert isinstance(pronoun, Pronoun)
        assert pronoun.antecedent is not None
        assert isinstance(tree.main.subject, NounPhrase)
        first = tree.main.subject.noun == pronoun.antecedent
        counts[first, isinstance(predicate, Passive), pronoun.agreement.gender] += 1
    assert len(counts) == 8
    assert all(0.08 < count / 4_000 < 0.17 for count in counts.values()), counts
    firsts = sum(count for (first, _, _), count in counts.items() if first)
    feminine = sum(count for (_, _, gender), count in counts.items() if gender == "f")
    assert 0.45 < firsts / 4_000 < 0.55
    assert 0.45 < feminine / 4_000 < 0.55


def test_every_phenomenon_is_frequent() -> None:
    counts = Counter(tag for example in split("train") for tag in example.phenomena)
    for tag in (
        "pronoun",
        "homograph",
        "relative",
        "passive",
        "negation",
        "possessor",
        "question",
        "report",
        "exclamation",
    ):
        assert counts[tag] > 100, tag


def test_lexicon_has_one_french_lemma_for_each_key() -> None:
    assert len({noun.french for noun in NOUNS.values()}) == len(NOUNS)
    assert len({adjective.masculine for adjective in ADJECTIVES.values()}) == len(ADJECTIVES)
    assert len({verb.infinitive for verb in VERBS.values()}) == len(VERBS)
    assert len(NOUNS) + len(ADJECTIVES) + len(VERBS) + len(NAMES) > 200


def test_sizes_out_of_reach_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`size` \(-1\)"):
        generate("train", size=-1, seed=0)
    with pytest.raises(ValueError, match="train, validation or test"):
        generate("dev", size=1, seed=0)
    with pytest.raises(ValueError, match=r"`size` \(6\) .* ran dry after 5 sentences"):
        take(cycle(split("train")[:5]), 6)
    assert generate("test", size=0, seed=0) == []
    assert len(generate("test", size=7, seed=0)) == 7


def test_render_gives_both_sides() -> None:
    assert render(say(CAT, "sleep")) == Pair("The cat slept.", "Le chat a dormi.")
    assert agreement(Name("Paul", "m")).gender == "m"
