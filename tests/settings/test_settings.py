"""Settings: who wins, what is refused, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from antiphon.errors import SettingsError
from antiphon.settings import ProviderChoice, Settings, load_settings
from antiphon.settings.definitions import setting
from antiphon.settings.keys import HIDDEN
from antiphon.settings.reference import (
    allowed_values,
    environment_name,
    group_of,
    help_of,
    settings_page,
    shown_values,
    unit_of,
)

ROOT = Path(__file__).parents[2]


def refusal(environ: dict[str, str], folder: Path = Path("/nonexistent")) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, folder=folder)
    return caught.value.message


@pytest.mark.parametrize(
    "address",
    ["https://login.example.org/jwks.json", "http://localhost:8080/certs", "http://[::1]:8080/certs", ""],
)
def test_keys_of_an_identity_provider_come_safely(address: str) -> None:
    assert Settings(jwt_jwks_url=address).jwt_jwks_url == address


def test_nothing_set_gives_the_defaults() -> None:
    loaded = load_settings({}, folder=Path("/nonexistent"))
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text('port = 1001\nhost = "toml"\nvoice = "toml"\nspeed = 1.5\n')
    (tmp_path / ".env").write_text("ANTIPHON_PORT=1002\nANTIPHON_HOST=dotenv\nANTIPHON_VOICE='dot env'\n")
    loaded = load_settings(
        {"ANTIPHON_PORT": "1003", "ANTIPHON_HOST": "environment"},
        folder=tmp_path,
        overrides={"port": 1004, "llm": None},
    )
    assert (loaded.settings.port, loaded.sources["port"]) == (1004, "command line")
    assert (loaded.settings.host, loaded.sources["host"]) == ("environment", "environment")
    assert (loaded.settings.voice, loaded.sources["voice"]) == ("dot env", ".env")
    assert (loaded.settings.speed, loaded.sources["speed"]) == (1.5, "antiphon.toml")
    assert loaded.sources["llm"] == "default"


def test_an_empty_variable_is_not_set() -> None:
    assert load_settings({"ANTIPHON_PORT": ""}).settings.port == Settings().port


def test_other_programs_variables_are_left_alone() -> None:
    assert load_settings({"ANTIPHONAL": "x", "PORT": "1"}).settings == Settings()


def test_the_named_toml_file_is_read(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('allowed_origins = ["https://a.example", "http://b.example:81"]\nbarge_in = false\n')
    loaded = load_settings({"ANTIPHON_CONFIG": str(config)}, folder=tmp_path)
    assert loaded.settings.allowed_origins == ("https://a.example", "http://b.example:81")
    assert loaded.settings.barge_in is False
    assert loaded.sources["barge_in"] == "mine.toml"


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "no such file" in refusal({"ANTIPHON_CONFIG": str(tmp_path / "gone.toml")})


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("port = \n")
    assert "antiphon.toml is not TOML" in refusal({}, tmp_path)
    (tmp_path / "antiphon.toml").write_bytes(b"\xff\xfe")
    assert "antiphon.toml cannot be read" in refusal({}, tmp_path)


def test_providers_are_chains() -> None:
    settings = load_settings(
        {"ANTIPHON_ASR": "local:whisper-base, scripted", "ANTIPHON_LLM": "local:/a:b"}
    ).settings
    assert settings.asr == (ProviderChoice("local", "whisper-base"), ProviderChoice("scripted"))
    assert settings.llm == (ProviderChoice("local", "/a:b"),)
    assert shown_values(settings)["asr"] == "local:whisper-base,scripted"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ANTIPHON_PORT", "0", "a whole number from 1 to 65535"),
        ("ANTIPHON_PORT", "http", "a whole number from 1 to 65535"),
        ("ANTIPHON_SPEED", "nan", "a number from 0.5 to 2.0"),
        ("ANTIPHON_SCRIPTED_LLM_TOKENS_PER_S", "0", "a number above 0"),
        ("ANTIPHON_TURNS", "slow", "one of quick, balanced, patient, silence"),
        ("ANTIPHON_PROFILE", "best", "one of auto, fast, balanced"),
        ("ANTIPHON_BARGE_IN", "perhaps", "true or false"),
        ("ANTIPHON_LANGUAGE", "English", "an ISO 639-1 code"),
        ("ANTIPHON_LLM", "frobnicate", "use local, openai, "),
        ("ANTIPHON_OPENAI_BASE_URL", "localhost:11434/v1", "write http://localhost:11434/v1"),
        ("ANTIPHON_OPENAI_BASE_URL", "ftp://models.example.org", "begins with http:// or https://"),
        ("ANTIPHON_OPENAI_BASE_URL", "https://h.example/v1/chat/completions", "https://h.example/v1."),
        ("ANTIPHON_OPENAI_BASE_URL", "https://h.example/v 1", "end after its path"),
        ("ANTIPHON_OPENAI_BASE_URL", "https://h.example:99999/v1", "port"),
        ("ANTIPHON_PROVIDER_TIMEOUTS", "ollama=2/60", "name=connect/first/gap"),
        ("ANTIPHON_OPENAI_BASE_URL", "http://a..b/v1", "no host can be called that"),
        ("ANTIPHON_LLM_BASE_URL", f"http://{'a' * 64}.example/v1", "no host can be called that"),
        ("ANTIPHON_OLLAMA_BASE_URL", "http://\N{GRINNING FACE}/v1", "no host can be called that"),
        ("ANTIPHON_DEEPGRAM_BASE_URL", "http://[::1/v1", "no host can be called that"),
        ("ANTIPHON_PROVIDER_TIMEOUTS", "ollama=2/60/0", "from 0.05 to 600"),
        ("ANTIPHON_PROVIDER_TIMEOUTS", "nosuch=1/2/3", "is not one of openai, ollama, "),
        ("ANTIPHON_TTS", "local,", "an empty name"),
        ("ANTIPHON_TTS", "local,local", "the same provider twice"),
        ("ANTIPHON_STORE_AWAY", "wait", "one of admit, refuse"),
        ("ANTIPHON_STORE", "disk", "must be memory, or the address of a Valkey"),
        ("ANTIPHON_JWT_JWKS_URL", "http://login.example.org/jwks.json", "must begin with https://"),
        ("ANTIPHON_JWT_JWKS_URL", "http://localhost.example.org/jwks.json", "must begin with https://"),
        ("ANTIPHON_JWT_JWKS_URL", "login.example.org", "must begin with https://"),
        ("ANTIPHON_JWT_JWKS_URL", "https://login.example.org:port/", "is no address"),
        ("ANTIPHON_ALLOWED_ORIGINS", "talk.example.org", "is not an origin"),
        ("ANTIPHON_ALLOWED_ORIGINS", "https://talk.example.org/page", "is not an origin"),
        ("ANTIPHON_ALLOWED_ORIGINS", "*", "is not an origin"),
        ("ANTIPHON_VOICE", "v" * 101, "at most 100 characters"),
    ],
)
def test_what_is_impossible_is_named_with_its_value_and_what_is_allowed(
    variable: str, value: str, said: str
) -> None:
    message = refusal({variable: value})
    assert message.startswith(f"{variable}=")
    assert value[:50] in message
    assert "in the environment" in message
    assert said in message


@pytest.mark.parametrize(
    ("environ", "nearest"),
    [({"ANTIPHON_POTR": "80"}, "ANTIPHON_PORT"), ({"ANTIPHON_MAX_SESSION": "9"}, "ANTIPHON_MAX_SESSIONS")],
)
def test_an_unknown_name_is_refused_with_the_nearest(environ: dict[str, str], nearest: str) -> None:
    message = refusal(environ)
    assert next(iter(environ)) in message
    assert f"did you mean {nearest}?" in message


def test_an_unknown_name_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[server]\nport = 80\n")
    assert "server in the file antiphon.toml is not a setting" in refusal({}, tmp_path)
    (tmp_path / "antiphon.toml").write_text("")
    (tmp_path / ".env").write_text("ANTIPHON_HOTS=x\n")
    assert "did you mean ANTIPHON_HOST?" in refusal({}, tmp_path)


def test_keys_are_not_repeated_in_errors() -> None:
    assert "sk-123" not in refusal({"ANTIPHON_OPENAI_API_KY": "sk-123"})
    assert "sk-123" not in refusal({"ANTIPHON_LLM_BASE_URL": "https://user:sk-123@h.example/v1"})
    for malformed in ("sk-123 ", '"sk-123"', "sk-123\nX-Evil: 1", "ключ-sk-123"):
        message = refusal({"ANTIPHON_OPENAI_API_KEY": malformed})
        assert message.startswith("ANTIPHON_OPENAI_API_KEY=(hidden)")
        assert "sk-123" not in message
    assert "hunter2" not in refusal({"ANTIPHON_STORE": "http://user:hunter2@cache:6379"})


KEY = "sk-abcDEF0123456789abcDEF0123456789"


@pytest.mark.parametrize(
    ("variable", "value", "belongs"),
    [
        ("OPENAI_BASE_URL", KEY, "ANTIPHON_OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", f"http://x/v1?api_key={KEY}", "ANTIPHON_OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", f"x/v1?api_key={KEY}", "ANTIPHON_OPENAI_API_KEY"),
        ("ANTIPHON_GROQ_BASE_URL", f"https://api.groq.com/{KEY}/chat/completions", "ANTIPHON_GROQ_API_KEY"),
        ("ANTIPHON_LLM", KEY, "ANTIPHON_OPENAI_API_KEY"),
        ("ANTIPHON_LLM", f"openai:{KEY}", "ANTIPHON_OPENAI_API_KEY"),
        ("ANTIPHON_LLM", f"gsk_{KEY[3:]}", "ANTIPHON_GROQ_API_KEY"),
        ("ANTIPHON_LLM", f"sk-ant-{KEY[3:]}", "ANTIPHON_ANTHROPIC_API_KEY"),
        ("ANTIPHON_TTS", f"sk_{KEY[3:]}", "ANTIPHON_ELEVENLABS_API_KEY"),
        ("ANTIPHON_ASR", KEY[3:], "the setting for its owner's key"),
        ("ANTIPHON_ASR", "deepgram:" + "0123456789abcdef" * 2, "ANTIPHON_DEEPGRAM_API_KEY"),
        ("ANTIPHON_ASR", "local, deepgram:" + "12" * 20, "ANTIPHON_DEEPGRAM_API_KEY"),
        ("ANTIPHON_LLM", "anthropic:" + "ABCDEF12" * 4, "ANTIPHON_ANTHROPIC_API_KEY"),
        ("ANTIPHON_LLM", f"Bearer {KEY[3:]}", "the setting for its owner's key"),
        ("ANTIPHON_PROVIDER_TIMEOUTS", f"openai={KEY}", "ANTIPHON_OPENAI_API_KEY"),
        ("ANTIPHON_PORT", KEY, "ANTIPHON_OPENAI_API_KEY"),
    ],
)
def test_a_key_in_the_wrong_setting_is_not_repeated_and_told_its_place(
    variable: str, value: str, belongs: str
) -> None:
    message = refusal({variable: value})
    assert message.startswith(f"{variable}=(hidden) in the environment")
    assert "looks like a key" in message
    assert belongs in message
    assert KEY[3:] not in message


def test_no_other_settings_error_repeats_a_secret(tmp_path: Path) -> None:
    ours = {"ANTIPHON_PASSWORD": "correct horse", "ANTIPHON_VOICE": "v" * 99 + "correct horse"}
    assert "correct horse" not in refusal(ours)
    assert "correct horse" not in refusal({"ANTIPHON_OPENAI_BASE_URL": "https://h.example/?correct horse"})
    assert "hunter2" not in refusal({"ANTIPHON_OPENAI_BASE_URL": "user:hunter2@h.example/v1"})
    assert "hunter2" not in refusal({"ANTIPHON_OPENAI_BASE_URL": "http://h.example/v1?x=hunter2"})
    assert KEY not in refusal({"ANTIPHON_OPENAI_URL": KEY})
    assert KEY not in refusal({"ANTIPHON_OPENAI_API_KEY_FILE": KEY})
    (tmp_path / "antiphon.toml").write_text('[openai]\nsecond = "hunter2"\n')
    assert "hunter2" not in refusal({}, tmp_path)
    (tmp_path / "antiphon.toml").write_text('openai_base_url = "http://a\\u0000b/v1"\n')
    assert "openai_base_url=" in refusal({}, tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANTIPHON_LANGUAGE", "sk-SK"),
        ("ANTIPHON_LLM", "Systran/faster-distil-whisper-large-v3-int8"),
        ("ANTIPHON_LLM", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ],
)
def test_what_only_resembles_a_key_is_shown(variable: str, value: str) -> None:
    assert value in refusal({variable: value})


def test_variables_of_others_are_read_when_ours_are_not_set(tmp_path: Path) -> None:
    loaded = load_settings({"OPENAI_API_KEY": "sk-theirs", "OPENAI_BASE_URL": "http://127.0.0.1:9"})
    assert loaded.settings.openai_api_key.get_secret_value() == "sk-theirs"
    assert loaded.settings.openai_base_url == "http://127.0.0.1:9/v1"
    assert loaded.sources["openai_api_key"] == "environment"
    (tmp_path / ".env").write_text("ANTIPHON_OPENAI_API_KEY=sk-ours\n")
    loaded = load_settings({"OPENAI_API_KEY": "sk-theirs"}, folder=tmp_path)
    assert loaded.settings.openai_api_key.get_secret_value() == "sk-ours"
    assert "OPENAI_BASE_URL=" in refusal({"OPENAI_BASE_URL": "nowhere"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080/v1"),
        ("http://10.0.0.5:8080/api/", "http://10.0.0.5:8080/api"),
        ("https://me.openai.azure.com/", "https://me.openai.azure.com/openai"),
        ("https://münchen.example/v1", "https://münchen.example/v1"),
    ],
)
def test_what_an_address_leaves_out_is_added(given: str, meant: str) -> None:
    assert load_settings({"OPENAI_BASE_URL": given}).settings.openai_base_url == meant


class WithKey(Settings):
    """As a vendor's adapter will add one."""

    vendor_key: SecretStr = setting(SecretStr(""), "A key.", group="Models")


def test_secrets_are_hidden() -> None:
    assert shown_values(WithKey(vendor_key=SecretStr("sk-123")))["vendor_key"] == HIDDEN
    assert shown_values(WithKey())["vendor_key"] == ""
    assert "sk-123" not in repr(WithKey(vendor_key=SecretStr("sk-123")))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_help_and_says_what_it_allows(name: str) -> None:
    assert help_of(name).endswith(".")
    assert group_of(name)
    assert allowed_values(name)
    if name.endswith(("_ms", "_s", "_bytes", "_tokens")):
        assert unit_of(name)


def test_the_page_about_settings_is_up_to_date() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run scripts/settings_page.py"
    assert all(f"`{environment_name(name)}`" in page for name in Settings.model_fields)


def test_the_password_in_the_address_of_the_store_is_not_shown() -> None:
    settings = Settings(store="valkey://antiphon:swordfish@cache:6379", store_password=SecretStr("sardine"))
    assert shown_values(settings)["store"] == "valkey://…@cache:6379"
    assert shown_values(settings)["store_password"] == "(hidden)"


@pytest.mark.parametrize("model", ["abcdefghij-klmnop", "nova-3-abcdefghij-klmnop"])
def test_a_key_that_is_set_elsewhere_is_no_models_name(model: str) -> None:
    message = refusal({"ANTIPHON_ASR": f"deepgram:{model}", "DEEPGRAM_API_KEY": "abcdefghij-klmnop"})
    assert message.startswith("ANTIPHON_ASR=(hidden) in the environment is not possible")
    assert "abcdefghij" not in message


def test_a_word_that_is_set_for_a_key_may_be_in_a_models_name() -> None:
    given = {"ANTIPHON_LLM": "openai:ollama-llama3", "OPENAI_API_KEY": "ollama"}
    assert load_settings(given, folder=Path("/nonexistent")).settings.llm[0].model == "ollama-llama3"
