"""Whole numbers in English and Spanish words."""

from models.demo.lexicon import Phrase, listed

_EN = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_ES = listed(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés "
    "veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
)
_EN_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_ES_TENS = listed("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_ES_HUNDREDS = listed(
    "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos "
    "ochocientos novecientos"
)


def numeral(number: int) -> Phrase:
    """A number from 0 to 999 in words."""
    return Phrase(_english(number), _spanish(number))


def _english(number: int) -> str:
    if number < 20:
        return _EN[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _EN_TENS[tens - 2] + (f" {_EN[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_EN[hundreds]} hundred" + (f" {_english(rest)}" if rest else "")


def _spanish(number: int) -> str:
    if number < 30:
        return _ES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _ES_TENS[tens - 3] + (f" y {_ES[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    if number == 100:
        return "cien"
    return _ES_HUNDREDS[hundreds - 1] + (f" {_spanish(rest)}" if rest else "")
