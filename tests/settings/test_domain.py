"""The name that people type: a host's name or an address, and nothing around it."""

from __future__ import annotations

import pytest

from antiphon.errors import SettingsError
from antiphon.settings import load_settings


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("talk.example.org", "talk.example.org"),
        ("Talk.Example.ORG", "talk.example.org"),
        ("localhost", "localhost"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("7.example.org", "7.example.org"),
        ("192.168.1.20", "192.168.1.20"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_a_name_is_taken_in_lower_case(given: str, meant: str) -> None:
    assert load_settings({"ANTIPHON_DOMAIN": given}).settings.domain == meant


@pytest.mark.parametrize(
    "given",
    [
        "https://localhost", "a.org www.a.org", "a.org,www.a.org", "talk.example.org:8443", "talk.example.org/",
        "talk.example.org.", "-talk.example.org", "talk-.example.org", "talk..org", "*.example.org", "192.168.1.300",
        "münchen.example", f"{'a' * 64}.org", "a." * 127 + "org",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_what_is_expected(given: str) -> None:
    with pytest.raises(
        SettingsError, match=r"ANTIPHON_DOMAIN.*write it without https:// or a port"
    ) as failure:
        load_settings({"ANTIPHON_DOMAIN": given})
    assert repr(given) in str(failure.value)
