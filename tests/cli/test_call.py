"""``antiphon call``: recordings said to a server in real time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tests.server.house import House, open_house, scripted_assistant

from antiphon.audio.coded_speech import coded_text, silence, speech_sound
from antiphon.audio.wav import read_wav, write_wav
from antiphon.cli.call import Caller, CallResult, calls
from antiphon.cli.call_report import call_object, show_call
from antiphon.cli.recording import read_recording
from antiphon.cli.voice_client import open_call
from antiphon.errors import AudioError
from antiphon.protocol.client_messages import Start

SPEECH = Path(__file__).parents[1] / "speech"


def question(folder: Path, text: str = "what is the capital of France", *, rest_s: float = 0.0) -> Path:
    path = folder / "question.wav"
    write_wav(path, speech_sound(text, 1.0) + silence(rest_s), 16_000)
    return path


async def said(house: House | str, *sources: Path | str, **more: object) -> list[CallResult]:
    url = house if isinstance(house, str) else house.http
    fields: dict[str, object] = {
        "start": Start(),
        "one_session": False,
        "out": None,
        "several": len(sources) > 1,
    }
    caller = Caller(url=url, **(fields | more))  # type: ignore[arg-type]
    files = [source for source in sources if isinstance(source, Path)]
    texts = [source for source in sources if isinstance(source, str)]
    return [result async for result in calls(caller, files, texts)]


@pytest.mark.real_time
async def test_a_question_is_heard_answered_and_timed(tmp_path: Path) -> None:
    out = tmp_path / "reply.wav"
    async with open_house() as house:
        (result,) = await said(house, question(tmp_path), out=out)
    told = call_object(result)
    assert told["transcript"] == "what is the capital of France"
    assert told["reply"] == "It is Paris."
    assert told["error"] is None
    # Whatever the machine is doing: not before the wait that ends a turn, and not the wrong end of the file.
    assert 150 < told["first_sound_ms"] < 30_000
    assert set(told["latency_ms"]) >= {"asr", "llm", "tts", "first_sound"}
    assert told["reply_wav"] == str(out)
    assert coded_text(read_wav(out).pcm, rate=24_000) == "It is Paris."


@pytest.mark.real_time
async def test_each_file_is_a_call_of_its_own_unless_told_otherwise(tmp_path: Path) -> None:
    path = question(tmp_path)
    async with open_house() as house:
        apart = await said(house, path, "Hello", out=tmp_path / "r.wav")
        together = await said(house, path, "Hello", one_session=True)
    turns = [set(result.said.exchange.transcripts) for result in (*apart, *together) if result.said]
    assert turns[0] == turns[1]  # numbered anew
    assert turns[2] != turns[3]
    assert [result.reply_wav and result.reply_wav.name for result in apart] == [
        "r-question.wav",
        "r-text.wav",
    ]


@pytest.mark.real_time
async def test_silence_is_not_answered_and_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_wav(path, silence(0.5), 16_000)
    async with open_house() as house:
        (result,) = await said(house, path)
    told = call_object(result)
    assert (told["transcript"], told["reply"], told["error"], told["first_sound_ms"]) == ("", "", None, None)
    assert told["notes"] == ["it holds nothing as loud as speech"]
    shown = Console(file=io.StringIO(), width=100)
    show_call(shown, result, why=True)
    assert isinstance(shown.file, io.StringIO)
    assert "no speech was heard; nothing was answered" in shown.file.getvalue()


@pytest.mark.real_time
async def test_one_bad_file_does_not_keep_the_next_from_being_said(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("not a WAV")
    async with open_house() as house:
        results = await said(house, text, tmp_path / "gone.wav", question(tmp_path))
    assert "not a WAV file" in results[0].error
    assert "cannot be read" in results[1].error
    assert call_object(results[2])["reply"] == "It is Paris."


@pytest.mark.real_time
async def test_wishes_that_cannot_be_met_are_told(tmp_path: Path) -> None:
    async with open_house() as house:
        (result,) = await said(house, "Hello", start=Start(voice="hal"))
    assert "no voice 'hal'" in result.error


@pytest.mark.real_time
async def test_a_server_that_is_not_there_is_named() -> None:
    (result,) = await said("http://127.0.0.1:9", "Hello")
    assert "cannot call http://127.0.0.1:9" in result.error
    assert "Is the server running there?" in result.error


@pytest.mark.real_time
async def test_a_server_that_lets_nobody_in_is_told_of() -> None:
    # Somebody is being answered, and heard out: till then the server is there.
    assistant = scripted_assistant(reply="It is Paris, which lies on the river Seine.", letter_s=0.2)
    async with open_house(assistant=assistant) as house, house.call() as other:
        await other.says(type="text", text="What is the capital of France?")
        await other.until("audio_started")
        house.application.registry.draining.set()
        (result,) = await said(house, "Hello")
    assert "the server is restarting" in result.error


@pytest.mark.real_time
async def test_a_server_that_goes_away_in_the_middle_is_told_of() -> None:
    async with open_house() as house, open_call(house.http, Start(), return_s=0.5) as client:
        house.application.registry.draining.set()
        lost = await client.say(speech_sound("what is it", 1.0), end_s=1.0)
        while not lost.lost:
            lost = await client.type("Hello")
        assert lost.lost == "closed with 1012 (the server is restarting)"
        assert (await client.type("Hello")).lost == lost.lost


@pytest.mark.real_time
async def test_a_lost_connection_is_had_again_and_the_answer_heard_to_its_end() -> None:
    assistant = scripted_assistant(reply="It is Paris, which lies on the river Seine.", letter_s=0.03)
    async with open_house(assistant=assistant) as house, open_call(house.http, Start()) as client:
        asking = asyncio.ensure_future(client.type("Hello"))
        while not house.application.registry.live[0].counts.replies:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        client.cut()
        said = await asking
        assert not said.lost
        assert client.resumed == 1
        assert list(said.exchange.replies.values()) == ["It is Paris, which lies on the river Seine."]


def test_the_end_of_speech_is_the_end_of_the_file_unless_silence_follows(tmp_path: Path) -> None:
    plain = read_recording(question(tmp_path))
    assert plain.end_s == pytest.approx(1.0)
    assert plain.notes == ()
    trailing = read_recording(question(tmp_path, rest_s=0.7))
    assert trailing.end_s == pytest.approx(1.0, abs=0.02)
    assert "its speech ends at 1.0" in trailing.notes[0]


def test_other_kinds_of_wav_are_converted_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "fast.wav"
    write_wav(path, speech_sound("hello there", 1.0, rate=44_100), 44_100)
    converted = read_recording(path)
    assert len(converted.pcm) == pytest.approx(32_000, abs=100)
    assert converted.notes == ("resampled from 44100 to 16000 Hz",)


def test_a_file_of_an_hour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    write_wav(path, bytes(2 * 8000 * 3600), 8000)
    with pytest.raises(AudioError, match="60 minutes"):
        read_recording(path)


def antiphon(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as people run it, with scripted providers."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    scripted = {f"ANTIPHON_{kind}": "scripted" for kind in ("ASR", "LLM", "TTS")}
    return subprocess.run(
        [sys.executable, "-m", "antiphon", *arguments],
        cwd=folder,
        env=clean | scripted | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_call_without_an_address_starts_its_own_server(tmp_path: Path) -> None:
    ran = antiphon(
        "call", str(SPEECH / "callers/q11.wav"), "--json", "--out", "reply.wav",
        folder=tmp_path, ANTIPHON_SCRIPTED_TRANSCRIPT="Yes.", ANTIPHON_SCRIPTED_REPLY="Very well.",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["transcript"], told["reply"]) == ("Yes.", "Very well.")
    assert coded_text(read_wav(tmp_path / "reply.wav").pcm, rate=24_000) == "Very well."
    assert ran.stderr == ""


def test_its_own_server_asks_for_no_password(tmp_path: Path) -> None:
    ran = antiphon(
        "call", "--text", "hello", "--json",
        folder=tmp_path, ANTIPHON_ACCESS="password", ANTIPHON_PASSWORD="a long sentence",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert json.loads(ran.stdout)["error"] is None


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    ran = antiphon("call", "--text", "hello", folder=tmp_path, ANTIPHON_TTS="scripted:loud")
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: ANTIPHON_TTS names scripted:loud, which there is not")
    assert "Traceback" not in ran.stderr


def test_a_call_that_fails_ends_with_status_1(tmp_path: Path) -> None:
    ran = antiphon("call", "--text", "hello", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert ran.returncode == 1
    assert "cannot call http://127.0.0.1:9" in ran.stdout
