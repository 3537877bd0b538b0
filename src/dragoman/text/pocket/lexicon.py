"""The adjectives, verbs and small words of the pocket corpus, one line each."""

from typing import Literal

from dragoman.text.pocket.trees import Name, Pronoun
from dragoman.text.pocket.words import Adjective, Agreement, Verb

# English, masculine, feminine ("+": add an e), form before a vowel ("+": the masculine), French place, kinds of nouns
ADJECTIVE_TABLE = """
small      petit     +         +        before child animal load furniture goods vehicle place plant land stage part
big        grand     +         +        before animal load furniture vehicle place plant land water stage
old        vieux     vieille   vieil    before adult animal load furniture tool wear text vehicle place plant
young      jeune     jeune     +        before person animal
beautiful  beau      belle     bel      before lovely wear plant vehicle
new        nouveau   nouvelle  nouvel   before job wear text tool vehicle
good       bon       bonne     +        before job food drink text
long       long      longue    +        before way show
high       haut      +         +        before height
tired      fatigué   +         +        after  person animal
hungry     affamé    +         +        after  person animal
thirsty    assoiffé  +         +        after  person animal
frightened effrayé   +         +        after  person animal
happy      heureux   heureuse  +        after  person animal
sad        triste    triste    +        after  person animal
sick       malade    malade    +        after  person animal
nervous    nerveux   nerveuse  +        after  person animal
brave      courageux courageuse +       after  person animal
curious    curieux   curieuse  +        after  person animal
lazy       paresseux paresseuse +       after  person animal
weak       faible    faible    +        after  person animal
strong     fort      +         +        after  person animal
jealous    jaloux    jalouse   +        after  person
kind       gentil    gentille  +        after  person
wide       large     large     +        after  way water land
narrow     étroit    +         +        after  way
deep       profond   +         +        after  water
dangerous  dangereux dangereuse +       after  way water land height
slippery   glissant  +         +        after  way height
muddy      boueux    boueuse   +        after  way land stage
quiet      calme     calme     +        after  water land place
heavy      lourd     +         +        after  load furniture
light      léger     légère    +        after  load wear
full       plein     +         +        after  container
empty      vide      vide      +        after  container
dirty      sale      sale      +        after  container wear furniture vehicle
clean      propre    propre    +        after  container wear furniture vehicle
expensive  cher      chère     +        after  goods vehicle
precious   précieux  précieuse +        after  goods
strange    étrange   étrange   +        after  animal tool text place part
famous     célèbre   célèbre   +        after  job text place show
broken     cassé     +         +        after  tool furniture
fresh      frais     fraîche   +        after  food drink
cold       froid     +         +        after  food drink
salty      salé      +         +        after  food
bitter     amer      amère     +        after  food drink
delicious  délicieux délicieuse +       after  food drink
dry        sec       sèche     +        after  baked
white      blanc     blanche   +        colour animal load wear vehicle plant goods place
black      noir      +         +        colour animal load wear vehicle goods part
red        rouge     rouge     +        colour load furniture wear vehicle plant fruit
green      vert      +         +        colour load furniture wear vehicle fruit
blue       bleu      +         +        colour load furniture wear vehicle
"""

# English forms | infinitive (and, if irregular: five forms of the present, stem of the future, participle) |
# auxiliary and preposition | kinds of subjects | kinds of objects
VERB_TABLE = """
sleep sleeps slept | dormir dors dort dormons dormez dorment dormir dormi | avoir | person animal |
work works worked | travailler | avoir | person |
sing sings sang | chanter | avoir | person |
run runs ran | courir cours court courons courez courent courr couru | avoir | person animal |
wait waits waited | attendre | avoir | person animal |
arrive arrives arrived | arriver | être | person animal |
fall falls fell | tomber | être | person animal |
go goes went | aller vais va allons allez vont ir allé | être à | person | goal
see sees saw seen | voir vois voit voyons voyez voient verr vu | avoir | person animal | goods load lovely scene limb
watch watches watched | regarder | avoir | person animal | person animal
find finds found | trouver | avoir | person | animal goods load wealth
look~for looks~for looked~for | chercher | avoir | person animal | person animal goods load wealth
love loves loved | aimer | avoir | person | person animal lovely
eat eats ate eaten | manger | avoir | person animal | food
drink drinks drank drunk | boire bois boit buvons buvez boivent boir bu | avoir | person animal | drink
cross crosses crossed | traverser | avoir | person animal | cross
follow follows followed | suivre suis suit suivons suivez suivent suivr suivi | avoir | person animal | person animal
climb climbs climbed | escalader | avoir | person animal | height
carry carries carried | porter | avoir | person animal | load goods
push pushes pushed | pousser | avoir | person animal | load furniture
pull pulls pulled | tirer | avoir | person animal | load furniture
open opens opened | ouvrir ouvre ouvre ouvrons ouvrez ouvrent ouvrir ouvert | avoir | person | container openable text
close closes closed | fermer | avoir | person | container openable
buy buys bought | acheter achète achète achetons achetez achètent achèter acheté | avoir | person | goods food container
break breaks broke broken | casser | avoir | person animal | tool furniture
lose loses lost | perdre | avoir | person | goods wealth
hide hides hid hidden | cacher | avoir | person animal | goods load food wealth
draw draws drew drawn | dessiner | avoir | person | person animal lovely plant limb scene
admire admires admired | admirer | avoir | person | lovely plant wear
write writes wrote written | écrire écris écrit écrivons écrivez écrivent écrir écrit | avoir | person | text
help helps helped | aider | avoir | person | person animal
show shows showed shown | montrer | avoir | person | goods load
give gives gave given | donner | avoir | person | goods food
speak~to speaks~to spoke~to | parler | avoir à | person | person
can can | pouvoir peux peut pouvons pouvez peuvent pourr pu | avoir | |
must must | devoir dois doit devons devez doivent devr dû | avoir | |
want~to wants~to wanted~to | vouloir veux veut voulons voulez veulent voudr voulu | avoir | |
say says said | dire dis dit disons dites disent dir dit | avoir | |
know knows knew | savoir sais sait savons savez savent saur su | avoir | |
think thinks thought | penser | avoir | |
"""

PREPOSITIONS = {
    "in": "dans",
    "on": "sur",
    "under": "sous",
    "near": "près de",
    "behind": "derrière",
    "in front of": "devant",
    "with": "avec",
    "without": "sans",
    "during": "pendant",
    "of": "de",
    "to": "à",
    "by": "par",
}
CONJUNCTIONS = {"and": "et", "but": "mais", "or": "ou", "because": "parce que", "when": "quand"}
TIMES = {"past": ("Yesterday", "Hier"), "present": ("Today", "Aujourd'hui"), "future": ("Tomorrow", "Demain")}
NUMERALS = {"two": "deux", "three": "trois", "many": "beaucoup de", "several": "plusieurs"}

NAMES = tuple(
    [Name(text, "f") for text in ("Marie", "Anna", "Emma", "Alice")]
    + [Name(text, "m") for text in ("Paul", "Pierre", "Antoine", "Victor")]
)
PRONOUNS = (
    Pronoun("I", Agreement(1, "m", "singular")),
    Pronoun("we", Agreement(1, "m", "plural")),
    Pronoun("you", Agreement(2, "m", "plural")),
    Pronoun("he", Agreement(3, "m", "singular")),
    Pronoun("she", Agreement(3, "f", "singular")),
)
POSSESSIVES = {("I", "m"): "my", ("we", "m"): "our", ("you", "m"): "your", ("he", "m"): "his", ("she", "f"): "her"}


def _adjective(line: str) -> Adjective:
    english, masculine, feminine, before_vowel, word_place, *kinds = line.split()
    place: Literal["before", "after", "colour"] = (
        "before" if word_place == "before" else "colour" if word_place == "colour" else "after"
    )
    feminine = feminine.replace("+", masculine + "e")
    return Adjective(english, masculine, feminine, before_vowel.replace("+", masculine), place, frozenset(kinds))


def _french(infinitive: str, *irregular: str) -> tuple[tuple[str, str, str, str, str], str, str]:
    """Present, stem of the future, and participle."""
    if irregular:
        je, il, nous, vous, ils, future, participle = irregular
        return (je, il, nous, vous, ils), future, participle
    stem = infinitive[:-2]
    if infinitive.endswith("re"):
        return (stem + "s", stem, stem + "ons", stem + "ez", stem + "ent"), stem + "r", stem + "u"
    soft = stem + "e" if stem.endswith("g") else stem  # mangeons
    return (stem + "e", stem + "e", soft + "ons", stem + "ez", stem + "ent"), infinitive, stem + "é"


def _verb(line: str) -> Verb:
    english, french, french_frame, subjects, objects = (part.split() for part in line.split("|"))
    base, third, *rest = (form.replace("~", " ") for form in english)
    past = rest[0] if rest else base
    present, future, french_participle = _french(*french)
    return Verb(
        english=base,
        third=third,
        past=past,
        participle=rest[-1] if rest else base,
        infinitive=french[0],
        present=present,
        future=future,
        french_participle=french_participle,
        auxiliary="être" if french_frame[0] == "être" else "avoir",
        preposition=" ".join(french_frame[1:]),
        subjects=tuple(subjects),
        objects=tuple(objects),
    )


ADJECTIVES = {word.english: word for word in map(_adjective, ADJECTIVE_TABLE.strip().splitlines())}
VERBS = {verb.english: verb for verb in map(_verb, VERB_TABLE.strip().splitlines())}
