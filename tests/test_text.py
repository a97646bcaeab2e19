"""Words are counted in every script; repetition is seen in compression, text in its bytes."""

from asr.text import compression_ratio, is_text, quoted, word_count


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


def test_text_is_told_from_other_bytes_even_where_a_letter_is_cut():
    assert is_text("é".encode() * 3 + b"\xc3")
    assert is_text(b"{\r\n\t}")
    for data in (b"RIFF\x24\0\0\0", b"\xff\xfb\x90", b"a\x7f"):
        assert not is_text(data)
