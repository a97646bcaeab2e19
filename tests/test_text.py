"""Words are counted in every script, and repetition is seen in how well a text compresses."""

from asr.text import compression_ratio, quoted, word_count


def test_words_are_counted_in_scripts_with_and_without_spaces():
    assert word_count(" It costs 3 €.") == 4
    assert word_count("東京は今日も晴れ") == 4


def test_repetition_is_seen_in_the_compression_ratio():
    assert compression_ratio(" the same thing again" * 20) > 2.4
    assert compression_ratio(" every word here is another one") < 1.2
    assert compression_ratio("") == 1.0


def test_a_quoted_text_can_be_printed_whatever_it_holds():
    assert quoted("it's a café") == "'it's a café'"
    assert quoted("a\0b\nc\ud800") == "'a�b�c�'"
