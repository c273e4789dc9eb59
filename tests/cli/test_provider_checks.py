"""``antiphon doctor --providers``: what it tells of providers that answer, and of those that do not and why."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from benchmarks.vendor_servers import VendorServers, VendorWorld, open_vendor_servers
from click.testing import CliRunner

from antiphon.cli import main
from antiphon.cli.provider_checks import ProviderCheck, check_providers
from antiphon.settings import Settings, load_settings

KEY = "sk-live-SECRET-0123456789abcdef"


def settings(url: str, **values: str) -> Settings:
    chosen = {
        "asr": "openai",
        "llm": "openai",
        "tts": "openai",
        "openai_base_url": url,
        "openai_api_key": KEY,
    }
    return load_settings({}, folder=Path("/nonexistent"), overrides=chosen | values).settings


async def checked(servers: VendorServers | str, **values: str) -> dict[str, ProviderCheck]:
    url = servers if isinstance(servers, str) else f"{servers.url}/v1"
    checks = await check_providers(settings(url, **values))
    for check in checks:
        assert KEY not in json.dumps(check.as_json()), "a key is never shown"
    return {f"{check.kind} {check.position}": check for check in checks}


@pytest.mark.real_time
async def test_providers_that_answer_are_timed_stage_by_stage() -> None:
    async with open_vendor_servers(VendorWorld(asr_ms=20, llm_ms=30, tts_ms=10)) as servers:
        checks = await checked(servers, tts="openai,scripted")
    assert list(checks) == ["asr 0", "llm 0", "tts 0", "tts 1"]
    assert {check.outcome for check in checks.values()} == {"ok"}
    for name, least in (("asr 0", 20), ("llm 0", 30), ("tts 0", 10)):
        check = checks[name]
        assert check.connect_ms is not None
        assert check.first_ms is not None
        assert check.total_ms is not None
        assert least <= check.first_ms <= check.total_ms
    assert checks["llm 0"].model == "gpt-4o-mini-2024-07-18"
    assert "gpt-4o-mini-2024-07-18" in checks["llm 0"].finding.text
    assert "What is the capital of France?" in checks["asr 0"].gave
    assert checks["tts 1"].connect_ms is None


@pytest.mark.real_time
async def test_a_wrong_key_names_its_setting() -> None:
    async with open_vendor_servers(VendorWorld(key="sk-another")) as servers:
        checks = await checked(servers)
    for check in checks.values():
        assert check.outcome == "bad_key"
        assert check.finding.level == "fail"
        assert "ANTIPHON_OPENAI_API_KEY" in check.problem
        assert "revoked" in check.finding.advice


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("values", "kind", "outcome", "names"),
    [
        ({"llm": "openai:no-such-model"}, "llm", "unknown_model", "ANTIPHON_LLM"),
        ({"tts": "openai:no-such-model"}, "tts", "unknown_model", "ANTIPHON_TTS"),
        ({"asr": "openai:no-such-model"}, "asr", "unknown_model", "ANTIPHON_ASR"),
        ({"voice": "no-such-voice"}, "tts", "unknown_voice", "ANTIPHON_VOICE"),
    ],
)
async def test_a_wrong_model_or_voice_names_its_setting(
    values: dict[str, str], kind: str, outcome: str, names: str
) -> None:
    async with open_vendor_servers() as servers:
        checks = await checked(servers, **values)
    assert checks[f"{kind} 0"].outcome == outcome
    assert names in checks[f"{kind} 0"].problem + checks[f"{kind} 0"].finding.advice
    assert sum(check.outcome == "ok" for check in checks.values()) == 2


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("html", "not_an_api"), ("quota", "quota"), ("overloaded", "overloaded"), ("empty", "empty")],
)
async def test_what_else_is_wrong_is_told_with_what_to_do(fault: str, outcome: str) -> None:
    async with open_vendor_servers() as servers:
        servers.world.faults["llm"].append(fault)  # type: ignore[arg-type]
        checks = await checked(servers)
    assert checks["llm 0"].outcome == outcome
    assert checks["llm 0"].finding.level == "fail"


@pytest.mark.real_time
async def test_an_address_where_nobody_listens() -> None:
    checks = await checked("http://127.0.0.1:9/v1", llm="openai,scripted")
    assert [check.outcome for check in checks.values()] == ["unreachable", "unreachable", "ok", "unreachable"]
    assert "ANTIPHON_OPENAI_BASE_URL" in checks["llm 0"].problem


async def test_a_missing_key_is_told_without_asking_anybody() -> None:
    checks = await checked("https://api.openai.com/v1", openai_api_key="", asr="scripted", tts="scripted")
    assert checks["llm 0"].outcome == "bad_setting"
    assert re.search(r"ANTIPHON_LLM=openai needs a key.*OPENAI_API_KEY", checks["llm 0"].problem)


async def test_a_voice_that_there_is_not_is_told_without_asking_anybody() -> None:
    checks = await checked("https://api.openai.com/v1", voice="marinn", asr="scripted", llm="scripted")
    assert checks["tts 0"].outcome == "bad_setting"
    assert re.search(r"ANTIPHON_VOICE='marinn'.*marin, verse", checks["tts 0"].problem)


def scripted(values: dict[str, str]) -> dict[str, str]:
    return {f"ANTIPHON_{kind}": "scripted" for kind in ("ASR", "LLM", "TTS")} | values


def test_the_command_shows_a_line_each_and_fails_when_one_did() -> None:
    good = CliRunner().invoke(main, ["doctor", "--providers"], env=scripted({}))
    assert good.exit_code == 0
    assert "scripted:language-model" in good.output
    bad = CliRunner().invoke(
        main,
        ["doctor", "--providers", "--json"],
        env=scripted({"ANTIPHON_LLM": "openai", "OPENAI_API_KEY": "", "ANTIPHON_OPENAI_API_KEY": ""}),
    )
    assert bad.exit_code == 1
    lines = [json.loads(line) for line in bad.output.splitlines()]
    assert [(line["kind"], line["outcome"]) for line in lines] == [
        ("asr", "ok"),
        ("llm", "bad_setting"),
        ("tts", "ok"),
    ]


@pytest.mark.real_time
async def test_a_provider_that_fails_before_a_fallback_that_answers_is_told_as_such() -> None:
    async with open_vendor_servers() as servers:
        gone = servers.url
    values = {"ANTIPHON_LLM": "openai,scripted", "OPENAI_BASE_URL": f"{gone}/v1", "COLUMNS": "200"}
    told = await asyncio.to_thread(CliRunner().invoke, main, ["doctor", "--providers"], env=scripted(values))
    assert told.exit_code == 1
    assert "1 thing to mend; fallbacks answer meanwhile." in told.output


@pytest.mark.parametrize("key", [f"{KEY} ", f"'{KEY}'", f"{KEY}\nX-Injected: 1"])
@pytest.mark.parametrize("command", [["doctor", "--providers"], ["serve", "--port", "8099"]])
def test_a_malformed_key_stops_the_command_and_is_not_repeated(key: str, command: list[str]) -> None:
    env = scripted({"ANTIPHON_LLM": "openai", "ANTIPHON_OPENAI_API_KEY": key})
    told = CliRunner().invoke(main, command, env=env)
    assert told.exit_code != 0
    output = told.output + str(told.exception)
    assert KEY not in output
    assert "ANTIPHON_OPENAI_API_KEY" in output


def test_plain_doctor_misses_the_key_too() -> None:
    env = scripted({"ANTIPHON_LLM": "scripted,openai", "OPENAI_API_KEY": "", "ANTIPHON_OPENAI_API_KEY": ""})
    told = CliRunner().invoke(main, ["doctor", "--json"], env=env)
    lines = {line["about"]: line for line in map(json.loads, told.output.splitlines())}
    assert lines["providers"]["level"] == "fail"
    assert "OPENAI_API_KEY" in lines["providers"]["text"]


def test_serving_without_the_key_that_is_needed_does_not_start() -> None:
    env = scripted({"ANTIPHON_LLM": "openai", "OPENAI_API_KEY": "", "ANTIPHON_OPENAI_API_KEY": ""})
    told = CliRunner().invoke(main, ["serve", "--port", "8099"], env=env)
    assert told.exit_code != 0
    assert "OPENAI_API_KEY" in told.output + str(told.exception)
