"""The other commands, and what is said when they cannot."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from antiphon.cli import COMMANDS, main
from antiphon.cli.findings import (
    folder_findings,
    microphone_findings,
    model_findings,
    port_findings,
    provider_findings,
)
from antiphon.server.serving import listen
from antiphon.settings import Settings, load_settings
from antiphon.turns.policy import TurnPolicy

ROOT = Path(__file__).parents[2]
SCRIPTED = {f"ANTIPHON_{kind}": "scripted" for kind in ("ASR", "LLM", "TTS")}


def run(*arguments: str, folder: Path, **environ: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, arguments, env=environ)


# ---- settings


def test_settings_show_where_each_comes_from(tmp_path: Path) -> None:
    result = run("settings", "--json", folder=tmp_path, ANTIPHON_PORT="9000")
    told = json.loads(result.output)
    assert told["port"] == {"value": "9000", "unit": "", "source": "environment"}
    assert told["idle_timeout_s"] == {"value": "600.0", "unit": "s", "source": "default"}
    assert set(told) == set(Settings.model_fields)


def test_settings_are_a_table_for_people(tmp_path: Path) -> None:
    shown = run("settings", "--long", folder=tmp_path, ANTIPHON_PORT="9000", COLUMNS="200").output
    assert "ANTIPHON_PORT" in shown
    assert "Port to listen on." in shown


def test_an_impossible_setting_stops_every_command_with_one_line(tmp_path: Path) -> None:
    for command in (["serve"], ["settings"], ["call", "--text", "x"], ["models", "list"]):
        result = run(*command, folder=tmp_path, ANTIPHON_PORT="http")
        assert result.exit_code == 1, command
        if command[0] != "call":  # its server says it
            assert result.output.startswith("Error: ANTIPHON_PORT='http' in the environment"), command


def test_an_impossible_option_is_told_as_an_option(tmp_path: Path) -> None:
    result = run("serve", "--port", "99999", folder=tmp_path)
    assert result.output.startswith("Error: --port='99999' on the command line is not possible")


def test_a_port_in_use_is_told_with_what_to_do(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port), folder=tmp_path, **SCRIPTED)
    assert result.exit_code == 1
    assert f"port {port} on 127.0.0.1 is in use" in result.output
    assert f"--port {port + 1}" in result.output


# ---- doctor


def settings(**values: str) -> Settings:
    return load_settings({}, folder=Path("/nonexistent"), overrides=values).settings


def test_doctor_finds_nothing_wrong_where_nothing_is(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    result = run("doctor", folder=tmp_path, ANTIPHON_PORT=str(port), **SCRIPTED)
    assert result.exit_code == 0, result.output
    assert "All is well" in result.output


def test_doctor_fails_with_what_to_do(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = run("doctor", "--json", folder=tmp_path, ANTIPHON_PORT=str(port), **SCRIPTED)
    assert result.exit_code == 1
    findings = [json.loads(line) for line in result.output.splitlines()]
    (failed,) = [finding for finding in findings if finding["level"] == "fail"]
    assert failed["about"] == "port"
    assert "is in use" in failed["text"]


def test_doctor_explains_settings_that_cannot_be_used(tmp_path: Path) -> None:
    result = run("doctor", folder=tmp_path, ANTIPHON_PROT="80", COLUMNS="200")
    assert result.exit_code == 1
    assert "did you mean ANTIPHON_PORT?" in result.output


def test_models_that_are_not_here_are_told_with_their_size(tmp_path: Path) -> None:
    (found,) = model_findings(settings(models=str(tmp_path), profile="fast"), thorough=False)
    assert found.level in ("note", "fail")  # fail where neither pip nor room is
    assert "llm/smollm2-135m" in found.text
    assert "MB to fetch" in found.text


def test_a_damaged_model_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    folder = tmp_path / "vad/silero-6"
    folder.mkdir(parents=True)
    (folder / "silero_vad.onnx").write_bytes(b"cut short")
    found = next(iter(model_findings(settings(models=str(tmp_path)), thorough=False)))
    assert found.level == "fail"
    assert "silero_vad.onnx is cut short" in found.text
    assert found.advice == "Fetch it again: antiphon models pull vad/silero-6"


def test_a_model_that_does_not_exist_is_told_with_its_setting(tmp_path: Path) -> None:
    findings = model_findings(settings(models=str(tmp_path), asr="local:nope"), thorough=False)
    assert ("fail", "Correct ANTIPHON_ASR.") in {(finding.level, finding.advice) for finding in findings}


def test_a_page_on_a_network_needs_tls() -> None:
    assert [finding.level for finding in microphone_findings(settings())] == ["ok"]
    assert [finding.level for finding in microphone_findings(settings(host="0.0.0.0"))] == ["note"]
    behind = settings(host="0.0.0.0", trusted_proxies="172.16.0.0/12")
    assert [finding.level for finding in microphone_findings(behind)] == ["ok"]


def test_variables_that_commands_take_are_no_unknown_settings(tmp_path: Path) -> None:
    own = {f"ANTIPHON_{name}_PASSWORD": "once upon a time" for name in ("CALL", "LOAD", "VERIFY")}
    result = run("settings", folder=tmp_path, **own)
    assert result.exit_code == 0, result.output
    assert "once upon a time" not in result.output


def test_recordings_are_a_matter_of_privacy(tmp_path: Path) -> None:
    findings = list(folder_findings(settings(recordings=str(tmp_path / "calls"))))
    assert findings[-1].about == "privacy"
    assert [finding.about for finding in folder_findings(settings())] == ["disk", "disk"]


def test_the_port_and_the_providers_are_looked_at() -> None:
    assert [finding.level for finding in port_findings(settings(host="192.0.2.1"))] == ["fail"]
    (providers,) = provider_findings(settings(asr="local:whisper-base,scripted"))
    assert "asr local:whisper-base→scripted" in providers.text


# ---- replay


def test_replay_shows_what_other_settings_would_have_changed(tmp_path: Path) -> None:
    """Speech, a pause of 0.8 s that the turn model called unfinished, speech, the end."""
    signals: list[Mapping[str, object]] = [
        {"event": "SpeechStarted", "since": 0.5, "at": 0.6},
        {"event": "SpeechPaused", "since": 1.5, "at": 1.6},
        {"event": "EndOfTurnProbability", "pause": 1.5, "probability": 0.05, "at": 1.65},
        {"event": "SpeechStarted", "since": 2.3, "at": 2.4},
        {"event": "SpeechPaused", "since": 3.0, "at": 3.1},
        {"event": "EndOfTurnProbability", "pause": 3.0, "probability": 0.95, "at": 3.15},
    ]
    flight = {
        "format": "antiphon-flight-1",
        "session_id": "s",
        "policy": {"preset": "balanced", "sure_wait_s": TurnPolicy().sure_wait_s},
        "signals": signals,
        "asked": [],
        "decisions": [{"at": 3.2, "kind": "turn", "reason": "the turn is over", "details": {}}],
        "peaks": [],
    }
    path = tmp_path / "flight.json"
    path.write_text(json.dumps(flight))
    result = run("replay", str(path), "--turns", "silence", "--silence-ms", "500", "--json", folder=tmp_path)
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.output.splitlines()]
    assert told
    assert all(set(pair) == {"then", "now"} for pair in told)
    table = run("replay", str(path), folder=tmp_path)
    assert table.exit_code == 0
    assert "3.20 s turn" in table.output


@pytest.mark.parametrize(("content", "said"), [("{", "it is not JSON"), ("{}", "not a flight recording")])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "flight.json"
    path.write_text(content)
    result = run("replay", str(path), folder=tmp_path)
    assert (result.exit_code, said in result.output) == (1, True)
    assert "cannot be read" in run("replay", "gone.json", folder=tmp_path).output


# ---- the page about the command line


def commands(group: click.Command, name: str = "antiphon") -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for sub in group.list_commands(context):
            command = group.get_command(context, sub)
            assert command is not None
            yield from commands(command, f"{name} {sub}")


def test_every_command_and_option_is_on_the_page() -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    missing = []
    for name, command in commands(main):
        if f"`{name}" not in page:
            missing.append(name)
        section = page.partition(f"\n## `{name}")[2].partition("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and name != "antiphon":
                missing += [f"{name} {option}" for option in parameter.opts if f"`{option}" not in section]
    assert not missing


def test_every_command_has_help() -> None:
    for name, command in commands(main):
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"
    assert set(COMMANDS) == set(main.list_commands(click.Context(main)))
