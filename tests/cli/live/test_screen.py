"""A terminal, played by a small one, shows what stays plain and what may change dim."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.cli.live.rows import width
from asr.cli.live.screen import Screen
from asr.errors import BadRequest
from asr.live.events import (
    Completed,
    Delta,
    Failed,
    Hypothesis,
    SpeechStarted,
    SpeechStopped,
)


class Terminal:
    """Carries out what the screen writes: text, line ends, and the few commands it uses."""

    def __init__(self, columns=20, rows=8):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [[]], 0, 0
        self.top = 0  # the first row that is seen
        self.is_dim = False
        self.writes = 0

    def size(self):
        return self.columns, self.rows

    def write(self, text):
        self.writes += 1
        for part in re.findall(r"\x1b\[\d*[a-zA-Z]|[\s\S]", text):
            self._take(part)

    def warn(self, line):
        self.write(f"! {line}\n")

    def _take(self, part):
        if part == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [[] for _ in range(self.row + 1 - len(self.lines))]
            self.top = max(self.top, self.row + 1 - self.rows)
        elif part == "\r":
            self.column = 0
        elif part in ("\x1b[2m", "\x1b[0m"):
            self.is_dim = part == "\x1b[2m"
        elif part == "\x1b[K":
            del self.lines[self.row][self.column :]
        elif part == "\x1b[J":
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]
        elif part.startswith("\x1b["):
            self.row = max(self.top, self.row - int(part[2:-1]))
        else:
            self._put(part)

    def _put(self, letter):
        assert self.column + width(letter) < self.columns, "the last column stays empty"
        line = self.lines[self.row]
        line[self.column : self.column + width(letter)] = [(letter, self.is_dim)] + [
            ("", self.is_dim)
        ] * (width(letter) - 1)
        self.column += width(letter)

    def shown(self):
        """The rows as text, what is dim in parentheses."""
        rows = []
        for line in self.lines:
            text = "".join(f"({letter})" if is_dim else letter for letter, is_dim in line if letter)
            rows.append(text.replace(")(", ""))
        return rows


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def screen(terminal):
    return Screen(terminal.write, terminal.warn, size=terminal.size)


def show(screen, *events):
    for event in events:
        screen.show(event)


def test_words_that_may_change_are_dim_and_give_way_to_those_that_stay(screen, terminal):
    show(screen, SpeechStarted("a", 0.0), Hypothesis("a", " We travel"))
    assert terminal.shown() == ["(We travel)"]
    show(screen, Delta("a", " We"), Hypothesis("a", " traveled"))
    assert terminal.shown() == ["We( traveled)"]
    show(screen, Delta("a", " travel."), Completed("a", " We travel.", 0.0, 1.0, "en"))
    assert terminal.shown() == ["We travel.", ""]


def test_rows_grow_and_shrink_and_what_is_final_is_not_written_again(screen, terminal):
    show(screen, SpeechStarted("a", 0.0), Hypothesis("a", " one two three four five six seven"))
    assert terminal.shown() == ["(one two three four)", "(five six seven)"]
    show(screen, Hypothesis("a", " one two"))
    assert terminal.shown() == ["(one two)"]
    show(screen, Delta("a", " one two three four five"), Hypothesis("a", " sex"))
    assert terminal.shown() == ["one two three four", "five( sex)"]
    terminal.lines[0] = [("x", False)]  # a final row is out of reach
    show(screen, Delta("a", " six"), Completed("a", " one two three four five six", 0, 9, "en"))
    assert terminal.shown() == ["x", "five six", ""]


def test_an_utterance_begins_before_the_one_before_it_is_complete(screen, terminal):
    show(screen, SpeechStarted("a", 0.0), Delta("a", " One"), SpeechStopped("a", 1.0))
    show(screen, SpeechStarted("b", 1.2), Hypothesis("b", " Two"))
    assert terminal.shown() == ["One", "(Two)"]
    show(screen, Delta("a", " more."), Completed("a", " One more.", 0.0, 1.0, "en"))
    assert terminal.shown() == ["One more.", "(Two)"]
    show(screen, Delta("b", " Two."), Completed("b", " Two.", 1.2, 2.0, "en"))
    assert terminal.shown() == ["One more.", "Two.", ""]


def test_one_that_is_complete_before_the_one_before_it_waits(screen, terminal):
    show(screen, Delta("a", " One"), Delta("b", " Two"), Completed("b", " Two", 1, 2, None))
    assert terminal.shown() == ["One", "Two"]
    show(screen, Completed("a", " One", 0, 1, None))
    assert terminal.shown() == ["One", "Two", ""]


def test_an_utterance_without_text_leaves_nothing(screen, terminal):
    show(screen, SpeechStarted("a", 0.0), Hypothesis("a", " Uh"), Completed("a", "", 0, 1, None))
    assert terminal.shown() == [""]


def test_what_a_server_tells_only_at_the_end_is_shown(screen, terminal):
    show(screen, Completed("a", " All of it.", 0.0, 1.0, "en"))
    assert terminal.shown() == ["All of it.", ""]


def test_times_stand_before_utterances_where_they_are_wanted(terminal):
    screen = Screen(terminal.write, terminal.warn, has_times=True, size=terminal.size)
    show(screen, SpeechStarted("a", 61.04), Hypothesis("a", " Now"))
    assert terminal.shown() == ["[1:01.0] (Now)"]
    show(screen, Completed("a", " Now.", 61.04, 62.0, "en"))
    assert terminal.shown() == ["[1:01.0] Now.", ""]


def test_wide_letters_take_two_columns(screen, terminal):
    show(screen, Delta("a", "日本語を話します。"), Hypothesis("a", "本当"))
    assert terminal.shown() == ["日本語を話します。", "(本当)"]


def test_a_failure_stands_above_what_may_change(screen, terminal):
    show(screen, Delta("a", " One"), Delta("b", " Two"), Failed("a", BadRequest("no")))
    assert terminal.shown() == ["! no", "One", "Two"]


def test_text_commands_no_terminal(screen, terminal):
    show(screen, Delta("a", " a\x1b[2J\rb"), Hypothesis("a", "\x1b[9A\n"))
    assert terminal.shown()[0].startswith("a [2J b")


def test_a_terminal_that_becomes_narrower_breaks_what_was_drawn(screen, terminal):
    show(screen, Hypothesis("a", " one two three"))
    terminal.columns = 8
    terminal.lines, terminal.row = [[("x", False)], [("y", False)]], 1  # it broke the row in two
    show(screen, Hypothesis("a", " one two"))
    assert terminal.shown() == ["(one two)"]


def test_more_rows_than_the_terminal_has_are_cut(terminal):
    terminal.rows = 3
    screen = Screen(terminal.write, terminal.warn, size=terminal.size)
    words = " ".join(["twelve-chars"] * 6)
    show(screen, Hypothesis("a", words), Hypothesis("a", words + " end"))
    assert terminal.shown() == ["(twelve-chars)"] * 2
    show(screen, Delta("a", words), Completed("a", words, 0, 1, None))
    assert terminal.shown() == ["twelve-chars"] * 6 + [""]


def test_the_cursor_is_left_at_the_start_of_a_row(screen, terminal):
    show(screen, Hypothesis("a", " One"))
    screen.close()
    screen.close()
    assert (terminal.shown(), terminal.column) == (["(One)", ""], 0)


def test_what_has_not_changed_is_not_drawn(screen, terminal):
    show(screen, Hypothesis("a", " One"))
    show(screen, Hypothesis("a", " One"), SpeechStopped("a", 1.0))
    assert terminal.writes == 1


TEXTS = st.lists(st.text("ab 日", min_size=1, max_size=15), max_size=5)


@given(st.lists(st.tuples(TEXTS, st.text("ab 日", max_size=30)), max_size=4), st.integers(3, 20))
def test_whatever_is_spoken_stands_there_in_the_end(utterances, columns):
    terminal = Terminal(columns, rows=4)
    screen = Screen(terminal.write, terminal.warn, size=terminal.size)
    for number, (deltas, hypothesis) in enumerate(utterances):
        for delta in deltas:
            show(screen, Hypothesis(str(number), hypothesis), Delta(str(number), delta))
        show(screen, Completed(str(number), "".join(deltas), 0, 1, None))
    spoken = "".join(delta for deltas, _ in utterances for delta in deltas)
    assert "".join(terminal.shown()).replace(" ", "") == spoken.replace(" ", "")
