"""The bar counts seconds of audio, on stderr."""

from asr.cli.progress import AudioBar, say


def test_the_bar_ends_with_all_that_is_done_and_lines_go_beside_it(capsys):
    with AudioBar(shown=True) as bar:
        bar.show("0/2 files", 0.0, 10.0)
        say("a.srt")
        bar.show("2/2 files", 12.0, 10.0)  # a header may say too little
    out, err = capsys.readouterr()
    assert out == "a.srt\n"
    assert "2/2 files 100%" in err
    assert "12/12 s of audio" in err


def test_a_bar_that_is_not_shown_writes_nothing(capsys):
    with AudioBar(shown=False) as bar:
        bar.show("1/1 files", 1.0, 1.0)
        say("bad", err=True)
    assert capsys.readouterr() == ("", "bad\n")
