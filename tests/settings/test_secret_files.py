"""Secrets in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.errors import SettingsError
from antiphon.settings import load_settings
from antiphon.settings.secret_files import with_secret_files

TOKEN = "a-token-that-is-long-enough-to-be-one"


def test_a_file_gives_the_secret_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    loaded = load_settings({"ANTIPHON_OPERATOR_TOKEN_FILE": str(tmp_path / "token")}, folder=tmp_path)
    assert loaded.settings.operator_token.get_secret_value() == TOKEN
    assert loaded.sources["operator_token"] == "environment"


def test_an_empty_name_is_not_set_and_other_programs_files_are_left_alone() -> None:
    others = {"LOG_FILE": "/x", "ANTIPHON_PORT_FILE": "/x", "POSTGRES_PASSWORD_FILE": "/x"}
    assert with_secret_files({**others, "OPENAI_API_KEY_FILE": ""}) == others


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"x" * 70_000])
def test_what_cannot_be_a_secret_is_refused_naming_the_setting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        with_secret_files({"OPENAI_API_KEY_FILE": str(path)})
    assert caught.value.message.startswith(f"OPENAI_API_KEY_FILE={path}")


def test_both_are_too_many(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(SettingsError) as caught:
        with_secret_files({"OPENAI_API_KEY": TOKEN, "OPENAI_API_KEY_FILE": str(tmp_path / "token")})
    assert TOKEN not in caught.value.message
