"""The words of the demo world: each entry carries its English and its Spanish form."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A thing that can be counted; Spanish needs its gender."""

    one: str
    many: str
    es_one: str
    es_many: str
    feminine: bool


@dataclass(frozen=True)
class Phrase:
    """The same words in both languages."""

    en: str
    es: str


@dataclass(frozen=True)
class Adjective:
    """A quality; Spanish agrees in gender and number."""

    en: str
    masculine: str
    feminine: str

    def es(self, feminine: bool, plural: bool) -> str:
        """The Spanish form; the plural adds s to a vowel and es to a consonant."""
        form = self.feminine if feminine else self.masculine
        if not plural:
            return form
        return form + ("s" if form[-1] in "aeo" else "es")


def listed(words: str) -> tuple[str, ...]:
    """Words that are written with spaces between them."""
    return tuple(words.split())


def _nouns(rows: str) -> tuple[Noun, ...]:
    nouns = []
    for row in rows.strip().splitlines():
        one, many, es_one, es_many, gender = row.split()
        nouns.append(Noun(one, many, es_one, es_many, gender == "f"))
    return tuple(nouns)


def _phrases(rows: str) -> tuple[Phrase, ...]:
    pairs = (row.split("|") for row in rows.strip().splitlines())
    return tuple(Phrase(en.strip(), es.strip()) for en, es in pairs)


NOUNS = _nouns("""
book books libro libros m
house houses casa casas f
car cars coche coches m
dog dogs perro perros m
cat cats gato gatos m
table tables mesa mesas f
chair chairs silla sillas f
door doors puerta puertas f
window windows ventana ventanas f
flower flowers flor flores f
letter letters carta cartas f
apple apples manzana manzanas f
bottle bottles botella botellas f
clock clocks reloj relojes m
key keys llave llaves f
hat hats sombrero sombreros m
shirt shirts camisa camisas f
box boxes caja cajas f
bird birds pájaro pájaros m
boat boats barco barcos m
lamp lamps lámpara lámparas f
horse horses caballo caballos m
""")

ADJECTIVES = (
    Adjective("red", "rojo", "roja"),
    Adjective("black", "negro", "negra"),
    Adjective("white", "blanco", "blanca"),
    Adjective("small", "pequeño", "pequeña"),
    Adjective("big", "grande", "grande"),
    Adjective("new", "nuevo", "nueva"),
    Adjective("old", "viejo", "vieja"),
    Adjective("yellow", "amarillo", "amarilla"),
    Adjective("blue", "azul", "azul"),
    Adjective("beautiful", "hermoso", "hermosa"),
)

PEOPLE = _phrases("""
my mother | mi madre
my father | mi padre
my brother | mi hermano
my sister | mi hermana
the teacher | el maestro
the doctor | el médico
our friend | nuestro amigo
the girl | la niña
the boy | el niño
the neighbor | el vecino
the woman | la mujer
the man | el hombre
""")

NAMES = listed("Ana Carlos David Elena Laura Lucas Maria Martin Oscar Sofia Victor Clara")

CITIES = _phrases("""
Madrid | Madrid
London | Londres
Paris | París
Lima | Lima
Rome | Roma
Berlin | Berlín
Lisbon | Lisboa
Boston | Boston
Chicago | Chicago
""")

PLACES = _phrases("""
in the garden | en el jardín
in the kitchen | en la cocina
at the market | en el mercado
at the station | en la estación
at the school | en la escuela
in the park | en el parque
on the beach | en la playa
at the office | en la oficina
in the village | en el pueblo
near the river | cerca del río
at the library | en la biblioteca
behind the hospital | detrás del hospital
""")

DAYS = _phrases("""
Monday | lunes
Tuesday | martes
Wednesday | miércoles
Thursday | jueves
Friday | viernes
Saturday | sábado
Sunday | domingo
""")

MONTHS = _phrases("""
January | enero
February | febrero
March | marzo
April | abril
May | mayo
June | junio
July | julio
August | agosto
September | septiembre
October | octubre
November | noviembre
December | diciembre
""")

PAST_VERBS = _phrases("""
bought | compró
found | encontró
sold | vendió
lost | perdió
saw | vio
painted | pintó
cleaned | limpió
""")

PRESENT_VERBS = _phrases("""
has | tiene
wants | quiere
needs | necesita
does not have | no tiene
""")

HABITS = _phrases("""
works | trabaja
sings | canta
sleeps | duerme
cooks | cocina
runs | corre
studies | estudia
""")

ORDERS = _phrases("""
open | abre
close | cierra
clean | limpia
bring | trae
paint | pinta
""")

EVENTS = _phrases("""
The party | La fiesta
The meeting | La reunión
The concert | El concierto
The class | La clase
The game | El partido
""")

PAST_TIMES = _phrases("""
yesterday | ayer
this morning | esta mañana
last week | la semana pasada
last night | anoche
""")

FUTURE_TIMES = _phrases("""
today | hoy
tomorrow | mañana
now | ahora
this afternoon | esta tarde
""")

WEATHER = _phrases("""
very cold | mucho frío
very hot | mucho calor
sunny | sol
windy | viento
""")

GREETINGS = _phrases("""
Good morning | Buenos días
Good afternoon | Buenas tardes
Good evening | Buenas noches
Hello | Hola
""")
