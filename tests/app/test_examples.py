"""The example .env files, each started as people do, with servers in the vendors' places."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import wave
from pathlib import Path

import pytest
from benchmarks.vendor_servers import VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.elevenlabs_sockets import ElevenLabsSockets, elevenlabs_sockets

from antiphon.audio.coded_speech import silence, speech_sound
from antiphon.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SPEECH = Path(__file__).parents[1] / "speech"
QUESTION = "What is the capital of France?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a recording of the question, in words that the vendor servers understand."""
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speech_sound(QUESTION) + silence(1.0))
    return tmp_path


async def call(folder: Path, example: str, recording: Path, **environ: str) -> dict[str, object]:
    """What ``antiphon call`` says of one recording, with the example as its .env."""
    shutil.copy(EXAMPLES / example, folder / ".env")
    clean = {
        name: value for name, value in os.environ.items() if "ANTIPHON" not in name and "_API_KEY" not in name
    }
    if "ANTIPHON_MODELS" in os.environ:
        environ["ANTIPHON_MODELS"] = os.environ["ANTIPHON_MODELS"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", "call", "--json", str(recording)),
        cwd=folder,
        env=clean | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problems = await process.communicate()
    assert process.returncode == 0, (said + problems).decode()
    heard: dict[str, object] = json.loads(said.splitlines()[0])
    return heard


OPENAI = {"/v1/audio/transcriptions", "/v1/chat/completions", "/v1/audio/speech"}


def standing_in(openai: VendorServers, elevenlabs: ElevenLabsSockets) -> dict[str, str]:
    """The servers in every vendor's place; a loudness threshold for the ear."""
    return {
        "ANTIPHON_EAR": "scripted",
        "ANTIPHON_OPENAI_BASE_URL": f"{openai.url}/v1",
        "ANTIPHON_ELEVENLABS_BASE_URL": elevenlabs.url,
    }


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("example", "asked", "speaks"),
    [
        ("openai.env", OPENAI, False),
        ("openai-elevenlabs.env", OPENAI - {"/v1/audio/speech"}, True),
    ],
)
async def test_a_stack_of_vendors_answers(folder: Path, example: str, asked: set[str], speaks: bool) -> None:
    async with (
        open_vendor_servers(VendorWorld()) as openai,
        elevenlabs_sockets(VendorWorld(key="put-yours-here")) as elevenlabs,
    ):
        heard = await call(folder, example, folder / "question.wav", **standing_in(openai, elevenlabs))
        assert heard["transcript"] == QUESTION
        assert heard["reply"] == openai.world.reply
        assert {request.path for request in openai.world.asked} == asked
        said = " ".join(spoken.text.strip() for spoken in elevenlabs.spoken)
        assert (openai.world.reply in said) is speaks


@pytest.mark.models
@pytest.mark.real_time
@pytest.mark.parametrize("example", ["local.env", "ollama-local.env"])
async def test_a_stack_on_this_machine_answers(folder: Path, example: str) -> None:
    async with open_vendor_servers(VendorWorld(reply="It is Paris.")) as servers:
        heard = await call(
            folder,
            example,
            SPEECH / "callers/q00.wav",
            ANTIPHON_OLLAMA_BASE_URL=f"{servers.url}/v1",
            ANTIPHON_PROFILE="fast",
        )
        assert "Paris" in str(heard["reply"])
        assert ("/v1/chat/completions" in {asked.path for asked in servers.world.asked}) == (
            example == "ollama-local.env"
        )


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.env")))
def test_every_example_is_possible_and_holds_no_key(folder: Path, example: str) -> None:
    shutil.copy(EXAMPLES / example, folder / ".env")
    settings = load_settings({}, folder=folder).settings
    assert settings.llm
    for secret in (settings.openai_api_key, settings.elevenlabs_api_key):
        assert secret.get_secret_value() in ("", "sk-put-yours-here", "put-yours-here")
