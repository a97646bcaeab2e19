"""Settings: read once, named when they are wrong, and all in the documentation."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from asr.config.config import Config
from asr.config.keys import ApiKey
from asr.config.setting import environment_name, without_effect
from asr.errors import ConfigError
from asr.options import Thresholds
from tests.conftest import ROOT


def read(**environment: str) -> Config:
    return Config.from_environment(environment)


def test_an_empty_environment_gives_the_defaults():
    assert read() == replace(Config(), jobs_dir=Path("/data/jobs"))
    assert read().model_id == "openai/whisper-large-v3"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CHUNK_LENGTH_S", "27.5", 27.5),
        ("STRIDE_LENGTH_S", "2.5", 2.5),
        ("STRIDE_LENGTH_S", "", None),
        ("STRIDE_LENGTH_S", "0", 0.0),
        ("FLASH_ATTENTION_2", "1", True),
        ("FLASH_ATTENTION_2", "true", False),  # only 1, as it always was
        ("MAX_NEW_TOKENS", "128", 128),
        ("DTYPE", "half", "float16"),
        ("DTYPE", "int8", "int8"),
        ("DEVICE", "cuda:1", "cuda:1"),
        ("AUDIO_ROOT", "/", Path("/")),
        ("MAX_AUDIO_SECONDS", "0", 0.0),
        ("MAX_MEMORY_MB", "", None),
        ("MAX_MEMORY_MB", "512", 512.0),
        ("ALLOW_PRIVATE_URLS", "true", True),
        ("SALAD_MACHINE_ID", "m-1", "m-1"),
        ("LOGPROB_THRESHOLD", "-0.5", -0.5),
        ("NO_SPEECH_THRESHOLD", "none", None),
        ("COMPRESSION_RATIO_THRESHOLD", "off", None),
        ("TEMPERATURE_FALLBACK", "0", False),
        ("CONDITION_ON_PREVIOUS_TEXT", "1", True),
        ("TEMPERATURE_FALLBACK", "Off", False),
        ("LOGPROB_THRESHOLD", "0", 0.0),
        ("NO_SPEECH_THRESHOLD", "1", 1.0),
        ("LOG_LEVEL", "warning", "WARNING"),
        ("API_KEY", "from-a-file\n", "from-a-file"),
        ("ALLOWED_HOSTS", "A.example, *.b.example", ("a.example", "*.b.example")),
        ("ALLOWED_HOSTS", "10.0.0.1,[::1]", ("10.0.0.1", "[::1]")),
        ("CORS_ORIGINS", "https://A.example/, null", ("https://a.example", "null")),
        ("CORS_ORIGINS", "*", ("*",)),
        ("CORS_ORIGINS", "", None),
        ("AUDIO_ROOT", "", None),
        ("KEEPALIVE_TIMEOUT_S", "5", 5.0),
        ("UPLOADS_URL", "s3://bucket/jobs", "s3://bucket/jobs"),
        ("JOBS_SHARE", "0.5", 0.5),
        ("WEBHOOK_SECRET", f"whsec_{'QUJD' * 8}\n", f"whsec_{'QUJD' * 8}"),
        ("WEBHOOK_SECRET", "QUJD" * 8 + "QQ", "QUJD" * 8 + "QQ"),
        ("WEBHOOK_TIMEOUT_S", "30", 30.0),
        ("DIARIZER", "Off", "off"),
        ("DIARIZER_MODEL", "pyannote/speaker-diarization-3.1", "pyannote/speaker-diarization-3.1"),
        ("DIARIZER_PRELOAD", "1", True),
        ("WYOMING_PORT", "10300", 10_300),
        ("WYOMING_PORT", "", None),
    ],
)
def test_a_value_is_read_with_its_meaning(name, value, expected):
    assert getattr(read(**{name: value}), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("BATCH_SIZE", "many", "BATCH_SIZE='many' is not a whole number from 1 to 4096"),
        ("BATCH_SIZE", "0", "BATCH_SIZE='0' is not a whole number from 1 to 4096"),
        ("PORT", "0", "PORT='0' is not a port number (1 to 65535)"),
        ("PORT", "70000", "PORT='70000' is not a port number (1 to 65535)"),
        ("PORT", "http", "PORT='http' is not a port number (1 to 65535)"),
        ("CHUNK_LENGTH_S", "0", "CHUNK_LENGTH_S='0' is not a number from 1 to 3600"),
        ("MAX_AUDIO_SECONDS", "nan", "MAX_AUDIO_SECONDS='nan' is neither 0 nor a number from 1 to"),
        ("MAX_BODY_MB", "inf", "MAX_BODY_MB='inf' is not a number from 0.001 to 1000000000"),
        ("MAX_MEMORY_MB", "0", "MAX_MEMORY_MB='0' is not a number from 0.001"),
        ("STRIDE_LENGTH_S", "wide", "STRIDE_LENGTH_S='wide' is not a number from 0 to 1800"),
        ("STRIDE_LENGTH_S", "15", "less than half"),
        ("STRIDE_LENGTH_S", "14.9999999", "at most 14.75"),
        ("CHUNK_LENGTH_S", "1e-9", "CHUNK_LENGTH_S='1e-9' is not a number from 1 to 3600"),
        ("MAX_AUDIO_SECONDS", "1e308", "MAX_AUDIO_SECONDS='1e308' is neither 0 nor a number"),
        ("BODY_TIMEOUT_S", "1e-9", "BODY_TIMEOUT_S='1e-9' is not a number from 0.1 to"),
        ("DECODERS", "9" * 5000, "is not a whole number from 1 to 4096"),
        ("AUDIO_ROOT", "a" * 5000, "is not a directory that can be read"),
        ("DEVICE", "cuda:²", "is not auto, cpu, cuda or cuda:N"),
        ("AUDIO_ROOT", "/nowhere/at/all", "AUDIO_ROOT='/nowhere/at/all' is not a directory"),
        ("DEVICE", "tpu", "DEVICE='tpu' is not auto, cpu, cuda or cuda:N"),
        ("DTYPE", "int3", "DTYPE='int3' is not one of auto, float32"),
        ("ENGINE", "vllm", "ENGINE='vllm' is not one of auto, whisper, pipeline"),
        ("LOGPROB_THRESHOLD", "5", "LOGPROB_THRESHOLD='5' is neither a number of at most 0 nor"),
        ("LOGPROB_THRESHOLD", "low", "LOGPROB_THRESHOLD='low' is neither a number"),
        ("COMPRESSION_RATIO_THRESHOLD", "0", "='0' is neither a number above 0 nor none"),
        ("NO_SPEECH_THRESHOLD", "1.5", "='1.5' is neither a number from 0 to 1 nor none"),
        ("NO_SPEECH_THRESHOLD", "nan", "='nan' is neither a number from 0 to 1 nor none"),
        ("TEMPERATURE_FALLBACK", "maybe", "TEMPERATURE_FALLBACK='maybe' is not one of 1, 0, true"),
        ("ALLOW_PRIVATE_URLS", "2", "ALLOW_PRIVATE_URLS='2' is not one of 1, 0, true"),
        ("LOG_LEVEL", "chatty", "='chatty' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("API_KEY", " \n", "API_KEY=' \\n' is blank"),
        ("API_KEY", "", "API_KEY='' is blank, which would protect nothing: give a key; "),
        ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS='' is blank, which would protect nothing"),
        ("ALLOWED_HOSTS", "http://a.example", "is not a list of host names such as asr.example"),
        ("ALLOWED_HOSTS", "a.example:8000", "names such as asr.example.com, without ports, with"),
        ("ALLOWED_HOSTS", "a.example,,b.example", "='a.example,,b.example' is not a list of host"),
        ("CORS_ORIGINS", "example.com", "='example.com' is not * or a list of origins such as"),
        ("CORS_ORIGINS", "https://a.example/page", "is not * or a list of origins such as https"),
        ("KEEPALIVE_TIMEOUT_S", "0", "KEEPALIVE_TIMEOUT_S='0' is not a number from 0.1"),
        ("JOBS_SHARE", "0", "JOBS_SHARE='0' is not a number from 0.01 to 1"),
        ("WEBHOOK_SECRET", "my password", "WEBHOOK_SECRET=… is not base64 of 24 to 64 bytes"),
        ("WEBHOOK_SECRET", "QUJD" * 7, "WEBHOOK_SECRET=… is not base64 of 24 to 64 bytes"),
        ("WEBHOOK_SECRET", "QUJD" * 22, "WEBHOOK_SECRET=… is not base64 of 24 to 64 bytes"),
        ("WEBHOOK_SECRET", "QUJD-_" * 8, "what `openssl rand -base64 32` prints"),
        ("JOBS_URL", "mysql://me:secret@host/", "JOBS_URL=… is no URL of a PostgreSQL database"),
        ("SALAD_MACHINE_ID", "a\r\nb", "SALAD_MACHINE_ID='a\\r\\nb' contains a line break"),
    ],
)
def test_a_bad_value_is_named_with_its_reason(name, value, reason):
    with pytest.raises(ConfigError, match=re.escape(reason)):
        read(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("BATCH_SIZE", "0", r"unset \(default: 16\)"),
        ("CHUNK_LENGTH_S", "-1", r"unset \(default: 30\)"),
        ("TEMPERATURE_FALLBACK", "maybe", r"unset \(default: 1\)"),
        ("MAX_NEW_TOKENS", "0", "or leave it unset"),
    ],
)
def test_a_bad_value_is_reported_with_what_to_do(name, value, remedy):
    with pytest.raises(ConfigError, match=f"{remedy}$"):
        read(**{name: value})


def test_a_port_without_keys_is_open_only_where_that_is_meant():
    assert read(WYOMING_PORT="10300").wyoming_host is None
    with pytest.raises(ConfigError, match="WYOMING_PORT=8000 is PORT, too: choose another one"):
        read(WYOMING_PORT="8000")
    for keys in ({"API_KEY": "k"}, {"API_KEYS": "alice=k"}):
        with pytest.raises(ConfigError, match=r"without an API key, .* set WYOMING_HOST to"):
            read(WYOMING_PORT="10300", **keys)
        assert read(WYOMING_PORT="10300", WYOMING_HOST="*", **keys).wyoming_host == "*"


def test_a_secret_is_not_shown_with_the_other_settings():
    secrets = {"WEBHOOK_SECRET": "QUJD" * 8, "JOBS_URL": "postgresql://me:QUJD@host/jobs"}
    secrets |= {"UPLOADS_URL": "sftp://me:QUJD@host/jobs"}
    assert "QUJD" not in repr(read(**secrets))


def test_keys_have_names_and_may_hold_what_separates_them_from_those():
    assert read(API_KEYS="alice=a:1=x==,bob:4=b\nb.c-d_e=k").client_keys == (
        ApiKey("alice", "a:1=x=="),
        ApiKey("bob", "b", 4),
        ApiKey("b.c-d_e", "k"),
    )


def test_keys_come_from_a_file_too_and_beside_the_key_without_a_name(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# who, how many at once\r\nalice:2=a,b\r\n\r\n  # bob=b\n")
    with pytest.raises(ConfigError, match=r"number 2\) that is neither NAME=KEY nor"):
        read(API_KEYS_FILE=str(file))
    file.write_text("# who, how many at once\r\nalice:2=a\r\n\r\n  # bob=b\n")
    config = read(API_KEYS_FILE=f"{file}\n", API_KEYS="carol=c", API_KEY="alone")
    assert config.client_keys == (
        ApiKey("", "alone"),
        ApiKey("carol", "c"),
        ApiKey("alice", "a", 2),
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"API_KEYS": "s3cr3t"}, "API_KEYS=… has an entry (number 1) that is neither NAME=KEY"),
        ({"API_KEYS": "alice="}, "has an entry (number 1) that is neither"),
        ({"API_KEYS": "alice=a,s3cr3t:4"}, "has an entry (number 2) that is neither"),
        ({"API_KEYS": "a b c=s3cr3t"}, "has an entry (number 1) that is neither"),
        ({"API_KEYS": "alice:0=s3cr3t"}, "has a concurrency of 'alice' that is not a whole number"),
        ({"API_KEYS": "alice:s3cr3t=4"}, "has a concurrency of 'alice' that is not a whole number"),
        ({"API_KEYS": "alice=s3cr3t\x07"}, "has an unprintable character in the key of 'alice'"),
        ({"API_KEYS": "alice=s3cr3t,alice=b"}, "have 2 keys of the name 'alice': leave one"),
        ({"API_KEYS": "alice=s3cr3t,bob=s3cr3t"}, "give 'bob' the key of 'alice': give each"),
        ({"API_KEYS": "alice=s3cr3t", "API_KEY": "s3cr3t"}, "give 'alice' the key of 'API_KEY'"),
        ({"API_KEYS": " \n"}, "API_KEYS=' \\n' has no key, which would protect nothing"),
        ({"API_KEYS_FILE": ""}, "API_KEYS_FILE='' is blank"),
        ({"API_KEYS_FILE": "alice=s3cr3t"}, "is not a file of keys that can be read (No such file"),
        ({"API_KEY": "s3cr3t\nx"}, "API_KEY=… contains a line break"),
        ({"JOBS_URL": "postgres//me:s3cr3t@host/asr"}, "JOBS_URL=… is no URL of a PostgreSQL"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown(settings, reason):
    with pytest.raises(ConfigError, match=re.escape(reason)) as refused:
        read(**settings)
    assert "s3cr3t" not in str(refused.value)


def test_keys_are_not_shown_where_they_are_parts_of_others():
    assert "s3cr3t" not in repr(read(API_KEYS="alice=s3cr3t"))


def test_every_setting_is_in_the_documented_table_with_its_default_and_effect():
    documented = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+) \|$", documented, re.M))
    for setting in fields(Config):
        effect, _, default = rows.pop(environment_name(setting)).rpartition(" | ")
        assert effect == setting.metadata["effect"]
        assert default == shown_default(setting)
    assert rows == {}, "the documentation names settings that do not exist"


def shown_default(setting) -> str:
    if setting.default in (None, ""):
        return "unset"
    if isinstance(setting.default, bool):
        return "`1`" if setting.default else "unset"
    if isinstance(setting.default, float):
        return f"`{setting.default:g}`"
    return f"`{setting.default}`"


@pytest.mark.parametrize(
    ("other", "setting", "value", "expected"),
    [
        ("INTERFACE", "HOST", "0.0.0.0", "0.0.0.0"),
        ("HF_MODEL", "MODEL_ID", "openai/whisper-tiny", "openai/whisper-tiny"),
        ("VLLM_DTYPE", "DTYPE", "bf16", "bfloat16"),
        ("WHISPER_SEGMENT_DURATION_SEC", "CHUNK_LENGTH_S", "20", 20.0),
    ],
)
def test_another_servers_variable_counts_where_ours_is_unset(other, setting, value, expected):
    assert getattr(read(**{other: value}), setting.lower()) == expected
    ours = getattr(read(), setting.lower())
    assert getattr(read(**{other: value, setting: str(ours)}), setting.lower()) == ours


def test_the_key_of_insanely_fast_whisper_protects_as_ours_does():
    assert read(ADMIN_KEY="theirs").api_key == "theirs"
    assert read(ADMIN_KEY="theirs", API_KEY="ours").api_key == "ours"
    with pytest.raises(ConfigError, match=r"ADMIN_KEY=.*would protect nothing"):
        read(ADMIN_KEY="")


def test_a_bad_value_is_named_with_the_variable_that_held_it():
    with pytest.raises(ConfigError, match=r"^VLLM_DTYPE='int3' is not one of"):
        read(VLLM_DTYPE="int3")


def test_a_mounted_model_is_used_where_no_model_is_named(tmp_path):
    mounted = {"MOUNTED_MODEL": str(tmp_path)}
    assert read(**mounted).model_id == "openai/whisper-large-v3"
    assert read(**mounted, HF_MODEL="openai/whisper-tiny").model_id == "openai/whisper-tiny"
    (tmp_path / "config.json").write_text("{}")
    assert read(**mounted, HF_MODEL="openai/whisper-tiny").model_path == str(tmp_path)
    assert read(**mounted, MODEL_ID="openai/whisper-base").model_id == "openai/whisper-base"


def test_timestamps_is_one_of_three_rules():
    assert read(TIMESTAMPS="Segments").timestamps == "segments"
    with pytest.raises(ConfigError, match="TIMESTAMPS='words' is not one of auto, none, segments"):
        read(TIMESTAMPS="words")


def test_variables_of_other_servers_are_named_when_they_mean_nothing_here():
    assert without_effect({"VLLM_USE_FLASHINFER": "", "PORT": "80"}) == []
    [notice] = without_effect({"VLLM_KV_CACHE_DTYPE": "fp8"})
    assert notice == "VLLM_KV_CACHE_DTYPE='fp8' has no effect: the cache has the model's dtype"


def test_settings_that_are_passed_over_are_reported(tmp_path):
    assert without_effect({"FLASH_ATTENTION_2": "1"}) == without_effect({}) == []
    [notice] = without_effect({"FLASH_ATTENTION_2": "true"})
    assert notice == "FLASH_ATTENTION_2='true' has no effect: only the value 1 turns it on"
    mounted = {"MOUNTED_MODEL": str(tmp_path)}
    assert without_effect({**mounted, "MODEL_ID": "demo"}) == []
    [notice] = without_effect(mounted)
    assert notice.endswith("has no effect: the directory has no config.json")
    (tmp_path / "config.json").write_text("{}")
    assert without_effect(mounted) == []


def test_without_the_fallback_every_text_is_trusted():
    assert read().thresholds == Thresholds(-1.0, 2.4, 0.6)
    assert read(LOGPROB_THRESHOLD="none").thresholds == Thresholds(None, 2.4, 0.6)
    assert read(TEMPERATURE_FALLBACK="0").thresholds == Thresholds()
