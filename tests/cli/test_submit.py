"""`submit`: files, folders and URLs become jobs, each for itself."""

import json

from tests.conftest import tone, wav


async def test_files_and_folders_become_jobs_and_their_ids_are_printed(command, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "in/b.wav", "in/notes.txt"):
        (tmp_path / name).write_bytes(wav(tone(1.0)))
    assert await command("submit", f"{tmp_path}/a.wav", f"{tmp_path}/in", "--language", "en") == 0
    ids = capsys.readouterr().out.split()
    assert len(ids) == len(set(ids)) == 2
    assert await command("wait", *ids, "-f", "text", "--quiet") == 0
    assert capsys.readouterr().out == "1.00 s\n" * 2


async def test_a_job_keeps_the_id_that_it_is_given_and_json_says_all(command, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(wav(tone(1.0)))
    audio = str(tmp_path / "a.wav")
    for _ in range(2):  # the second is the same job
        given = ("--id", "mine", "--priority", "3", "--deadline", "600")
        assert await command("submit", audio, *given, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["audio"], found["id"], found["priority"]) == (audio, "mine", 3)


async def test_what_is_refused_is_named_and_the_others_go_on(command, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(wav(tone(1.0)))
    assert await command("submit", "gopher://host/a", f"{tmp_path}/a.wav") == 1
    out, err = capsys.readouterr()
    assert len(out.split()) == 1
    assert err.startswith("gopher://host/a: the server answered 400: ")


async def test_a_missing_key_is_told(command, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(wav(tone(1.0)))
    audio = str(tmp_path / "a.wav")
    assert await command("submit", audio, api_key="k") == 1
    assert "answered 401: the API key is missing or wrong" in capsys.readouterr().err
    assert await command("submit", audio, "--api-key", "k") == 0
