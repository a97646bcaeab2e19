"""The grammar: pairs of English and Spanish sentences, split into training and held-out."""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.demo import lexicon
from models.demo.lexicon import Noun, Phrase
from models.demo.numerals import numeral

LANGUAGES = ("en", "es")
HELD_OUT_SHARE = 8  # one sentence of this many is never trained on


@dataclass(frozen=True)
class Sentence:
    """A sentence and its English translation (English sentences translate to themselves)."""

    language: str
    text: str
    translation: str


def draw(rng: random.Random, language: str, held_out: bool) -> Sentence:
    """One sentence; `held_out` chooses the side of the split."""
    while True:
        pair = rng.choices(_TEMPLATES, _WEIGHTS)[0](rng)
        if is_held_out(pair) == held_out:
            return Sentence(language, pair.en if language == "en" else pair.es, pair.en)


def draw_distinct(rng: random.Random, language: str, held_out: bool = False) -> Iterator[Sentence]:
    """Sentences without end, none equal to one of the 40 before it."""
    recent: list[str] = []
    while True:
        sentence = draw(rng, language, held_out)
        if sentence.text not in recent:
            recent = [*recent[-40:], sentence.text]
            yield sentence


def is_held_out(pair: Phrase) -> bool:
    """Whether the hash of the English text puts the pair (both languages) out of training."""
    return hashlib.sha256(pair.en.encode()).digest()[0] % HELD_OUT_SHARE == 0


def plain_words(text: str) -> list[str]:
    """The words as they are compared: lower case, without punctuation."""
    return "".join(" " if mark in ".,?¿!" else mark for mark in text.lower()).split()


def _sentence(en: str, es: str, end: str = ".") -> Phrase:
    opening = "¿" if end == "?" else ""
    return Phrase(en[0].upper() + en[1:] + end, opening + es[0].upper() + es[1:] + end)


def _thing(rng: random.Random, article: str, count: int = 1) -> Phrase:
    """A noun, often with an adjective; article is `the`, `a`, `my` or empty."""
    noun = rng.choice(lexicon.NOUNS)
    en, es = (noun.one, noun.es_one) if count == 1 else (noun.many, noun.es_many)
    if rng.random() < 0.6:
        adjective = rng.choice(lexicon.ADJECTIVES)
        en = f"{adjective.en} {en}"
        es = f"{es} {adjective.es(noun.feminine, count != 1)}"
    return Phrase(_en_article(article, en) + en, _es_article(article, noun) + es)


def _en_article(article: str, following: str) -> str:
    if article == "a" and following[0] in "aeiou":
        return "an "
    return f"{article} " if article else ""


def _es_article(article: str, noun: Noun) -> str:
    forms = {"": ("", ""), "the": ("el ", "la "), "a": ("un ", "una "), "my": ("mi ", "mi ")}
    return forms[article][noun.feminine]


def _counted(rng: random.Random) -> Phrase:
    """A number and a noun; numbers that end in one need agreement in Spanish: left out."""
    number = rng.choice([n for n in range(2, 100) if n % 10 != 1 or n == 11])
    thing, words = _thing(rng, "", number), numeral(number)
    return Phrase(f"{words.en} {thing.en}", f"{words.es} {thing.es}")


def _who(rng: random.Random) -> Phrase:
    name = rng.choice(lexicon.NAMES)
    return rng.choice((Phrase(name, name), rng.choice(lexicon.PEOPLE)))


def _clock(rng: random.Random) -> Phrase:
    hour = numeral(rng.randrange(2, 13))
    if rng.random() < 0.4:
        return Phrase(f"at {hour.en}", f"a las {hour.es}")
    minute = numeral(rng.choice((5, 10, 15, 20, 25, 30, 40, 45, 50)))
    return Phrase(f"at {hour.en} {minute.en}", f"a las {hour.es} y {minute.es}")


def _when(rng: random.Random, times: tuple[Phrase, ...]) -> Phrase:
    if rng.random() < 0.5:
        return rng.choice(times)
    day = rng.choice(lexicon.DAYS)
    return Phrase(f"on {day.en}", f"el {day.es}")


def _position(rng: random.Random) -> Phrase:
    thing, place = _thing(rng, "the"), rng.choice(lexicon.PLACES)
    return _sentence(f"{thing.en} is {place.en}", f"{thing.es} está {place.es}")


def _amount(rng: random.Random) -> Phrase:
    things, place = _counted(rng), rng.choice(lexicon.PLACES)
    return _sentence(f"there are {things.en} {place.en}", f"hay {things.es} {place.es}")


def _event_past(rng: random.Random) -> Phrase:
    who, verb = _who(rng), rng.choice(lexicon.PAST_VERBS)
    thing = rng.choice((_thing(rng, "a"), _thing(rng, "the"), _counted(rng)))
    when = _when(rng, lexicon.PAST_TIMES)
    return _sentence(
        f"{who.en} {verb.en} {thing.en} {when.en}", f"{who.es} {verb.es} {thing.es} {when.es}"
    )


def _train(rng: random.Random) -> Phrase:
    city, clock = rng.choice(lexicon.CITIES), _clock(rng)
    return _sentence(
        f"the train to {city.en} leaves {clock.en}", f"el tren a {city.es} sale {clock.es}"
    )


def _where(rng: random.Random) -> Phrase:
    thing = _thing(rng, rng.choice(("the", "my")))
    return _sentence(f"where is {thing.en}", f"dónde está {thing.es}", "?")


def _how_many(rng: random.Random) -> Phrase:
    noun, place = rng.choice(lexicon.NOUNS), rng.choice(lexicon.PLACES)
    asked = "cuántas" if noun.feminine else "cuántos"
    return _sentence(
        f"how many {noun.many} are there {place.en}", f"{asked} {noun.es_many} hay {place.es}", "?"
    )


def _home(rng: random.Random) -> Phrase:
    name, city, other = (
        rng.choice(lexicon.NAMES),
        rng.choice(lexicon.CITIES),
        rng.choice(lexicon.PEOPLE),
    )
    return _sentence(
        f"{name} lives in {city.en} with {other.en}", f"{name} vive en {city.es} con {other.es}"
    )


def _weather(rng: random.Random) -> Phrase:
    weather, city = rng.choice(lexicon.WEATHER), rng.choice(lexicon.CITIES)
    if rng.random() < 0.5:
        month = rng.choice(lexicon.MONTHS)
        return _sentence(
            f"in {month.en} it is {weather.en} in {city.en}",
            f"en {month.es} hace {weather.es} en {city.es}",
        )
    return _sentence(
        f"it is {weather.en} in {city.en} today", f"hoy hace {weather.es} en {city.es}"
    )


def _digits(rng: random.Random) -> Phrase:
    digits = rng.sample(range(10), rng.randrange(3, 6))  # distinct: equal neighbours make loops
    words = [numeral(digit) for digit in digits]
    en, es = " ".join(word.en for word in words), " ".join(word.es for word in words)
    return rng.choice(
        (
            _sentence(f"the number is {en}", f"el número es {es}"),
            _sentence(f"my telephone is {en}", f"mi teléfono es {es}"),
        )
    )


def _room(rng: random.Random) -> Phrase:
    room = numeral(rng.choice((rng.randrange(2, 100), rng.randrange(100, 1000))))
    who = _who(rng)
    return _sentence(f"{who.en} is in room {room.en}", f"{who.es} está en la habitación {room.es}")


def _price(rng: random.Random) -> Phrase:
    thing = _thing(rng, "the")
    price = numeral(rng.choice([n for n in range(2, 1000) if n % 10 != 1]))
    return _sentence(
        f"{thing.en} costs {price.en} dollars", f"{thing.es} cuesta {price.es} dólares"
    )


def _habit(rng: random.Random) -> Phrase:
    day, who = rng.choice(lexicon.DAYS), _who(rng)
    habit, place = rng.choice(lexicon.HABITS), rng.choice(lexicon.PLACES)
    return _sentence(
        f"on {day.en} {who.en} {habit.en} {place.en}", f"el {day.es} {who.es} {habit.es} {place.es}"
    )


def _both(rng: random.Random) -> Phrase:
    one, two = rng.sample(lexicon.PEOPLE, 2)
    here, there = rng.sample(lexicon.PLACES, 2)
    return _sentence(
        f"{one.en} is {here.en} and {two.en} is {there.en}",
        f"{one.es} está {here.es} y {two.es} está {there.es}",
    )


def _belief(rng: random.Random) -> Phrase:
    who, place = _who(rng), rng.choice(lexicon.PLACES)
    return _sentence(f"I think that {who.en} is {place.en}", f"creo que {who.es} está {place.es}")


def _greeting(rng: random.Random) -> Phrase:
    greeting, name = rng.choice(lexicon.GREETINGS), rng.choice(lexicon.NAMES)
    when = rng.choice(lexicon.FUTURE_TIMES)
    return _sentence(
        f"{greeting.en} {name}, I will see you {when.en}",
        f"{greeting.es} {name}, te veré {when.es}",
    )


def _wish(rng: random.Random) -> Phrase:
    who, verb = _who(rng), rng.choice(lexicon.PRESENT_VERBS)
    things = rng.choice((_thing(rng, "a"), _counted(rng)))
    if rng.random() < 0.4:
        more = _counted(rng)
        things = Phrase(f"{things.en} and {more.en}", f"{things.es} y {more.es}")
    return _sentence(f"{who.en} {verb.en} {things.en}", f"{who.es} {verb.es} {things.es}")


def _appointment(rng: random.Random) -> Phrase:
    event, day, clock = rng.choice(lexicon.EVENTS), rng.choice(lexicon.DAYS), _clock(rng)
    return _sentence(
        f"{event.en} is on {day.en} {clock.en}", f"{event.es} es el {day.es} {clock.es}"
    )


def _request(rng: random.Random) -> Phrase:
    order, thing = rng.choice(lexicon.ORDERS), _thing(rng, "the")
    when = _when(rng, lexicon.FUTURE_TIMES)
    return _sentence(
        f"please {order.en} {thing.en} {when.en}", f"por favor {order.es} {thing.es} {when.es}"
    )


def _journey(rng: random.Random) -> Phrase:
    start, end = rng.sample(lexicon.CITIES, 2)
    month = rng.choice(lexicon.MONTHS)
    return _sentence(
        f"we travel from {start.en} to {end.en} in {month.en}",
        f"viajamos de {start.es} a {end.es} en {month.es}",
    )


_WEIGHTED: tuple[tuple[Callable[[random.Random], Phrase], float], ...] = (
    (_position, 1.2), (_amount, 1.2), (_event_past, 2.0), (_train, 1.0), (_where, 0.6),
    (_how_many, 0.6), (_home, 1.0), (_weather, 1.0), (_digits, 1.0), (_room, 1.0), (_price, 1.2),
    (_habit, 1.5), (_both, 1.0), (_belief, 0.8), (_greeting, 0.8), (_wish, 1.5),
    (_appointment, 1.2), (_request, 1.2), (_journey, 1.2),
)  # fmt: skip
_TEMPLATES = tuple(template for template, _ in _WEIGHTED)
_WEIGHTS = tuple(weight for _, weight in _WEIGHTED)
