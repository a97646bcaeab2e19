"""The table of doubted texts counts what each pair of thresholds gives out."""

from benchmark.accuracy.doubts import CERTAINTIES, LOGPROBS, Text, table

SOUND = Text("sounds/penguin.ogg", " I'M GONNA HELLO", -1.98, "unlikely", 0.48)
SPOKEN = Text("clips/el/001.ogg", " one two", -1.3, "unlikely", 0.9)


def test_a_text_is_kept_if_it_is_likely_or_a_voice_is_certain():
    assert SOUND.is_kept(-2.0, 0.85)
    assert not SOUND.is_kept(-1.0, 0.85)
    assert SPOKEN.is_kept(-1.0, 0.85)
    assert not SPOKEN.is_kept(-1.0, 0.95)
    assert not Text("sounds/cello.ogg", " ____", -0.1, None, 1.0).is_kept(-1.0, 0.85)
    assert not Text("sounds/lark.ogg", " Shh!", -0.1, "no speech", 0.2).is_kept(-9.0, 0.85)


def test_the_table_has_false_texts_and_lost_words_for_each_pair():
    lines = table([SOUND, SPOKEN]).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    cells = next(row for row in rows if row[0] == "-1")[1:]
    expected = [f"{int(c <= 0.48)} / {0 if c <= 0.9 else 2}" for c in CERTAINTIES]
    assert cells == expected
    assert len(lines) >= len(LOGPROBS) + 2
