"""The seeded grammar: it draws phrases and clauses that make sense."""

from collections.abc import Callable, Sequence

from dragoman.text.pocket.choices import (
    ABSOLUTE,
    ATTRIBUTIVE,
    DIRECT,
    FAMILIAR,
    INTRANSITIVE,
    MODALS,
    OF_KIND,
    OWNABLE,
    REPORTS,
    TRANSITIVE,
    compatible,
)
from dragoman.text.pocket.lexicon import ADJECTIVES, NAMES, NUMERALS, PRONOUNS, VERBS
from dragoman.text.pocket.phrases import Phrases
from dragoman.text.pocket.trees import (
    Action,
    Adverb,
    Clause,
    Coordination,
    Degree,
    Gap,
    Nominal,
    NounPhrase,
    Passive,
    Pronoun,
    Report,
    State,
    Tense,
    heads,
)
from dragoman.text.pocket.words import Adjective, Noun, Number, Verb

Determiner = Callable[[Noun, Number], str]


class Grammar(Phrases):
    """Draws phrases and clauses. `depth` limits relative clauses inside relative clauses."""

    def subject(self, kinds: Sequence[str], depth: int) -> Nominal:
        """A subject: a phrase, a name, two phrases, a pronoun."""
        dice = self.dice
        shape = dice.weighted(("phrase", 0.72), ("name", 0.08), ("pronoun", 0.12), ("both", 0.08))
        if "person" in kinds and shape == "name":
            return dice.pick(NAMES)
        if "person" in kinds and shape == "pronoun":
            return dice.pick(PRONOUNS)
        if shape == "both":
            first, second = self.companion(kinds), self.companion(kinds)
            return Coordination("and", first, second) if heads(first) != heads(second) else first
        return self.phrase(self.noun(kinds), depth, self.subject_determiner)

    def phrase(self, noun: Noun, depth: int, determiner: Determiner) -> NounPhrase:
        """A phrase about the noun, with adjectives, possessor, place, relative clause by chance."""
        dice, number = self.dice, self.number(noun)
        word = determiner(noun, number)
        possessor = self.possessor(noun) if word == "the" and OWNABLE & noun.kinds and dice.chance(0.1) else None
        adjectives = self.attributes(noun)
        extra = dice.weighted(("relative", 0.11 if depth else 0.0), ("place", 0.05 if depth else 0.0), ("", 1.0))
        if word == "every":
            extra = ""
        relative = self.relative(noun, number, depth - 1) if extra == "relative" else None
        spot = extra == "place" and "inside" not in noun.kinds
        place = self.place(("near", "behind", "in front of")) if spot else None
        if relative is not None or place is not None:
            possessor = None  # in « le père du fermier qui … » the clause would be the farmer's
        return NounPhrase(noun, number, word, adjectives, possessor, place, relative)

    def relative(self, noun: Noun, number: Number, depth: int) -> Clause | None:
        """A relative clause about the noun, which is its subject or its object."""
        gap = Gap(noun, number)
        tense: Tense = self.dice.weighted(("past", 0.6), ("present", 0.3), ("future", 0.1))
        alive = "person" if "person" in noun.kinds else "animal" if "animal" in noun.kinds else ""
        verbs = [verb for verb in DIRECT if noun.kinds & set(verb.objects)]
        if verbs and self.dice.chance(0.45 if alive else 0.75):
            verb = self.dice.pick(verbs)
            return Clause(self.agent(verb, alive), Action(verb, gap), tense, self.adverb(0.15))
        if alive:
            return self.doing(gap, (alive,), tense, depth)
        return self.being(gap, tense)

    def agent(self, verb: Verb, alive: str = "") -> Nominal:
        """A short subject for the verb: no pronoun where another person might be meant."""
        if "person" in verb.subjects and self.dice.chance(0.35):
            return self.dice.pick(NAMES) if alive or verb not in FAMILIAR else self.dice.pick(PRONOUNS)
        noun = self.noun(verb.subjects)
        return self.plain(noun, self.number(noun))

    def speaking(self, who: Nominal) -> bool:
        """Whether the subject is I, we or you, of whom the English tells no gender, and the corpus only some verbs."""
        return isinstance(who, Pronoun) and who.agreement.person < 3

    def tense(self) -> Tense:
        """The tense of a main clause."""
        return self.dice.weighted(("past", 0.55), ("present", 0.27), ("future", 0.18))

    def adverb(self, share: float, who: Nominal | None = None) -> Adverb:
        """Negation or frequency; a subject like "every dog" or "many dogs" is not negated."""
        vague = isinstance(who, NounPhrase) and (who.determiner in NUMERALS or who.determiner in ("a", "every"))
        if vague or not self.dice.chance(share):
            return ""
        return self.dice.weighted(("not", 0.55), ("never", 0.17), ("always", 0.12), ("often", 0.16))

    def clause(self, tense: Tense, depth: int) -> Clause:
        """A main clause of any kind."""
        kind = self.dice.weighted(("doing", 0.65), ("being", 0.15), ("passive", 0.07), ("report", 0.13))
        if kind == "being":
            return self.being(self.subject(self._described(), depth), tense)
        if kind == "passive":
            return self.passive(tense, depth)
        if kind == "report" and depth and tense == "present":
            who = self.dice.pick(NAMES) if self.dice.chance(0.6) else self.plain(self.noun(("person",)))
            return Clause(who, Report(self.dice.pick(REPORTS), self.clause(self.tense(), depth - 1)), tense)
        kinds = ("person",) if self.dice.chance(0.6) else ("animal",)
        return self.doing(self.subject(kinds, depth), kinds, tense, depth)

    def _described(self) -> tuple[str]:
        """A kind of noun of which a state is told."""
        return (self.dice.pick(("person", "animal", "load", "goods", "vehicle", "cross", "food", "person", "animal")),)

    def doing(self, who: Nominal, kinds: Sequence[str], tense: Tense, depth: int) -> Clause:
        """What a person or an animal does."""
        dice = self.dice
        kind = dice.weighted(("alone", 0.25), ("object", 0.6), ("receiver", 0.15))
        if self.speaking(who):
            kind = "object"  # « je suis arrivé » or « arrivée »: the English does not say
        if kind == "receiver" and "person" in kinds:
            return self.giving(who, tense, depth)
        adverb = self.adverb(0.3, who)
        if kind != "object":
            verb = dice.pick([verb for verb in INTRANSITIVE if kinds[0] in verb.subjects])
            place = self.place() if dice.chance(0.45) and verb.english not in ("arrive", "fall") else None
            return Clause(who, Action(verb, modal=self.modal(tense)), tense, adverb, place)
        if kinds[0] == "person" and dice.chance(0.05):
            goal = NounPhrase(dice.pick(OF_KIND["goal"]), "singular", "the")
            if not self.speaking(who):
                return Clause(who, Action(VERBS["go"], goal, modal=self.modal(tense)), tense, adverb)
        verb = dice.pick(FAMILIAR if self.speaking(who) else [verb for verb in TRANSITIVE if kinds[0] in verb.subjects])
        place = self.place() if dice.chance(0.12) else None
        thing = self.object(verb, who, adverb, depth)
        if place is not None and set(heads(place.nominal)) & set(heads(thing)):
            place = None
        modal = None if self.speaking(who) else self.modal(tense)
        return Clause(who, Action(verb, thing, modal=modal), tense, adverb, place)

    def modal(self, tense: Tense) -> Verb | None:
        """Can, must, want to: at times, in the present."""
        return self.dice.pick(MODALS) if tense == "present" and self.dice.chance(0.25) else None

    def giving(self, who: Nominal, tense: Tense, depth: int) -> Clause:
        """To show or to give something to someone."""
        verb = VERBS[self.dice.pick(("show", "give"))]
        noun = self.noun(("person",))
        receiver = self.dice.pick(NAMES) if self.dice.chance(0.3) else self.plain(noun, self.number(noun))
        adverb = self.adverb(0.25, who)
        return Clause(who, Action(verb, self.object(verb, who, adverb, 0), receiver), tense, adverb)

    def object(self, verb: Verb, who: Nominal, adverb: Adverb, depth: int) -> Nominal:
        """The object of a verb; it differs from the subject."""
        noun = self.noun(verb.objects)
        while noun in heads(who):
            noun = self.noun(verb.objects)
        if "person" in noun.kinds and self.dice.chance(0.25):
            return self.dice.pick([name for name in NAMES if name != who])
        negative = adverb in ("not", "never")
        if not negative and self.dice.chance(0.04):
            other = self.noun(verb.objects)
            both = Coordination(self.dice.pick(("and", "or")), self.plain(noun), self.plain(other))
            return both if other != noun else self.plain(noun)
        bound = self.bound(who)

        def determiner(noun: Noun, number: Number) -> str:
            indefinite = "some" if number == "plural" or "mass" in noun.kinds else "a"
            indefinite = "not " + indefinite if negative else indefinite
            if verb.preposition:
                indefinite = "the"  # no « à des », no « pas à »
            counted = self.numeral() if number == "plural" and not negative else "the"
            return self.dice.weighted(
                ("the", 0.48),
                (indefinite, 0.2),
                (self.pointing(), 0.1),
                (self.owner(noun, bound), 0.14),
                (counted, 1.0),
            )

        return self.phrase(noun, depth, determiner)

    def being(self, who: Nominal, tense: Tense) -> Clause:
        """How someone or something is."""
        if self.speaking(who):
            who = self.dice.pick(NAMES)
        nouns = heads(who)
        said = who.adjectives if isinstance(who, NounPhrase) else ()
        choice = [word for word in compatible(self._suitable(nouns), said) if word.english not in ATTRIBUTIVE]
        if not choice:
            return Clause(who, State(), tense, place=self.place(("near", "behind", "in front of")))
        word = self.dice.pick(choice)
        other = self.dice.pick(choice)
        alike = word.place == other.place and compatible((other,), (word,))
        words = (word, other) if self.dice.chance(0.12) and alike else (word,)
        adverb = self.adverb(0.25, who)
        if adverb in ("always", "often") and not all(noun.kinds & {"person", "animal"} for noun in nouns):
            adverb = "not"
        return Clause(who, State(words, self._degree(words)), tense, adverb)

    def _degree(self, words: Sequence[Adjective]) -> Degree:
        if any(word.english in ABSOLUTE or word.place == "colour" for word in words):
            return ""
        return self.dice.weighted(("", 0.6), ("too", 0.15), ("very", 0.25))

    def _suitable(self, nouns: Sequence[Noun]) -> list[Adjective]:
        """The adjectives that may be said of all these nouns; of nobody in particular (a name), those of persons."""
        if not nouns:
            return [word for word in ADJECTIVES.values() if "person" in word.kinds]
        first, *others = (self.adjectives[noun.key] for noun in nouns)
        return [word for word in first if all(word in other for other in others)]

    def passive(self, tense: Tense, depth: int) -> Clause:
        """What is done to a thing."""
        verb = self.dice.pick(DIRECT)
        noun = self.noun(verb.objects)
        who = self.phrase(noun, depth, self.subject_determiner)
        agent = self.agent(verb, "person")
        return Clause(who, Passive(verb, agent), tense, self.adverb(0.25, who))
