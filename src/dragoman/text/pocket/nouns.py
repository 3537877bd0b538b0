"""The nouns of the pocket corpus, one line each: English, plural, French, plural, gender, kinds.

"+" is a regular plural, "-" stands for no plural. A kind says what a noun can do (`person`, `load`, `inside` …), or
which adjectives it takes. Nouns of the kind `sense` are homographs: they only occur beside a cue (`homographs.py`).
"""

from dragoman.text.pocket.words import Gender, Noun

TABLE = """
man         men       homme          +          m  person adult neutral
woman       women     femme          +          f  person adult lovely neutral
boy         +         garçon         +          m  person child neutral
girl        +         fille          +          f  person child lovely neutral
king        +         roi            +          m  person adult owner
queen       +         reine          +          f  person adult lovely owner
doctor      +         médecin        +          m  person adult job owner
nurse       +         infirmière     +          f  person adult job
farmer      +         fermier        +          m  person adult job owner
actress     actresses actrice        +          f  person adult job lovely
mother      -         mère           +          f  person adult kin neutral
father      -         père           +          m  person adult kin neutral
sister      +         sœur           +          f  person child kin neutral
brother     +         frère          +          m  person child kin neutral
uncle       -         oncle          +          m  person adult kin neutral
aunt        -         tante          +          f  person adult kin neutral

animal      +         animal         animaux    m  animal lovely
dog         +         chien          +          m  animal lovely
cat         +         chat           +          m  animal lovely
horse       +         cheval         chevaux    m  animal lovely
bird        +         oiseau         oiseaux    m  animal lovely
rabbit      +         lapin          +          m  animal
fox         foxes     renard         +          m  animal lovely
owl         +         hibou          hiboux     m  animal lovely
pig         +         cochon         +          m  animal
cow         +         vache          +          f  animal lovely
mouse       mice      souris         souris     f  animal
goat        +         chèvre         +          f  animal
tortoise    +         tortue         +          f  animal
frog        +         grenouille     +          f  animal
hen         +         poule          +          f  animal
giraffe     +         girafe         +          f  animal lovely
ant         +         fourmi         +          f  animal

road        +         route          +          f  way cross surface
street      +         rue            +          f  way cross inside
path        +         chemin         +          m  way cross surface
bridge      +         pont           +          m  way cross surface cover lovely
river       -         rivière        +          f  water cross spot
lake        -         lac            +          m  water cross spot lovely
field       +         champ          +          m  land cross inside
garden      -         jardin         +          m  land cross inside lovely own
forest      -         forêt          +          f  land cross inside lovely
wall        -         mur            +          m  height spot
hill        -         colline        +          f  height spot lovely
rock        -         rocher         +          m  height spot
mountain    -         montagne       +          f  height spot lovely

apple       +         pomme          +          f  food fruit
carrot      +         carotte        +          f  food fruit
cake        +         gâteau         gâteaux    m  food baked
egg         +         œuf            +          m  food
bread       -         pain           +          m  food baked mass
cheese      -         fromage        +          m  food baked mass
meat        -         viande         +          f  food baked mass
soup        -         soupe          +          f  food mass
water       -         eau            eaux       f  drink mass
wine        -         vin            +          m  drink mass
milk        -         lait           +          m  drink mass

box         boxes     boîte          +          f  load container
bag         +         sac            +          m  load container
basket      +         panier         +          m  load container
suitcase    +         valise         +          f  load container
barrel      +         tonneau        tonneaux   m  load container
stone       +         pierre         +          f  load
chair       +         chaise         +          f  furniture surface
table       +         table          +          f  furniture surface cover

lamp        -         lampe          +          f  tool goods
clock       -         horloge        +          f  tool goods
candle      -         bougie         +          f  goods
hammer      -         marteau        marteaux   m  tool goods
violin      -         violon         +          m  tool goods
piano       -         piano          +          m  tool goods
arrow       -         flèche         +          f  tool goods
hat         +         chapeau        chapeaux   m  wear goods
coat        +         manteau        manteaux   m  wear goods
dress       dresses   robe           +          f  wear goods
book        +         livre          +          m  text goods
letter      +         lettre         +          f  text goods
tree        -         arbre          +          m  plant spot cover
flower      +         fleur          +          f  plant goods
car         -         voiture        +          f  vehicle spot goods
boat        -         bateau         bateaux    m  vehicle spot goods
truck       -         camion         +          m  vehicle spot goods

house       -         maison         +          f  place inside spot lovely own
school      -         école          +          f  place inside spot goal
hospital    -         hôpital        hôpitaux   m  place inside spot goal
church      -         église         +          f  place inside spot goal lovely
castle      -         château        châteaux   m  place inside spot goal lovely
market      -         marché         +          m  place goal spot
station     -         gare           +          f  place inside spot goal
kitchen     -         cuisine        +          f  inside spot
beach       -         plage          +          f  goal surface
island      -         île            +          f  surface spot
door        -         porte          +          f  openable spot

cave        -         grotte         +          f  scene inside spot
sea         -         mer            +          f  scene
attic       -         grenier        +          m  scene inside
stadium     -         stade          +          m  scene inside goal spot
ice         -         glace          +          f  scene surface cover
night       -         nuit           +          f  time
money       -         argent         +          m  wealth
treasure    -         trésor         +          m  wealth
hand        -         main           +          f  limb
finger      -         doigt          +          m  limb
nose        -         nez            nez        m  limb
elephant    -         éléphant       +          m  animal
player      -         joueur         +          m  person adult
patient     -         patient        +          m  person adult
boxer       -         boxeur         +          m  person adult
hunter      -         chasseur       +          m  person adult

bank        -         rive           +          f  sense lovely
bank        -         banque         +          f  sense place
bat         +         chauve-souris  chauves-souris f sense animal
bat         +         batte          +          f  sense tool load
spring      -         source         +          f  sense lovely
spring      -         ressort        +          m  sense tool
nail        +         ongle          +          m  sense part
nail        +         clou           +          m  sense part tool
match       matches   allumette      +          f  sense part
match       matches   match          +          m  sense show
ring        -         bague          +          f  sense wear
ring        -         ring           +          m  sense stage
glass       glasses   verre          +          m  sense container goods
glass       glasses   lunettes       lunettes   f  sense goods
palm        -         paume          +          f  sense part
palm        -         palmier        +          m  sense plant
seal        -         phoque         +          m  sense animal
seal        -         sceau          sceaux     m  sense part
trunk       -         malle          +          f  sense load container
trunk       -         tronc          +          m  sense part
trunk       -         trompe         +          f  sense part
mole        -         taupe          +          f  sense animal
mole        -         grain_de_beauté grains_de_beauté m sense part
key         +         clé            +          f  sense tool
key         +         touche         +          f  sense part
chest       -         coffre         +          m  sense load container
chest       -         poitrine       +          f  sense -
organ       -         orgue          +          m  sense tool
organ       -         organe         +          m  sense part
pitcher     -         cruche         +          f  sense container
pitcher     -         lanceur        +          m  sense person
pen         -         stylo          +          m  sense tool
pen         -         enclos         enclos     m  sense stage
bow         -         arc            +          m  sense tool
bow         -         archet         +          m  sense tool
bulb        -         ampoule        +          f  sense tool
bulb        -         bulbe          +          m  sense part
horn        +         corne          +          f  sense part
horn        +         klaxon         +          m  sense tool
"""


def _read(line: str, homographs: set[str]) -> Noun:
    english, english_plural, french, french_plural, gender_letter, *kinds = line.split()
    gender: Gender = "f" if gender_letter == "f" else "m"
    french, french_plural = french.replace("_", " "), french_plural.replace("_", " ")
    plural = {"+": english + "s", "-": ""}.get(english_plural, english_plural)
    key = f"{english}:{french}" if english in homographs else english
    return Noun(key, english, plural, french, french_plural.replace("+", french + "s"), gender, frozenset(kinds))


def _nouns() -> dict[str, Noun]:
    lines = [line for line in TABLE.splitlines() if line]
    homographs = {line.split()[0] for line in lines if " sense " in line}
    return {noun.key: noun for noun in (_read(line, homographs) for line in lines)}


NOUNS = _nouns()


def of_kind(kind: str) -> tuple[Noun, ...]:
    """The nouns of a kind, homographs excepted, in the order of the table."""
    return tuple(noun for noun in NOUNS.values() if kind in noun.kinds and "sense" not in noun.kinds)
