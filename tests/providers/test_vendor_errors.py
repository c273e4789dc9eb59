"""Vendors' refusals, as they word them, in our words."""

from __future__ import annotations

import json

import pytest

from antiphon.errors import ProviderUnavailable
from antiphon.providers.vendor_errors import Names, cleaned, refused, retry_after

NAMES = Names(
    provider="vendor:model",
    key_setting="ANTIPHON_VENDOR_API_KEY",
    url_setting="ANTIPHON_VENDOR_BASE_URL",
    model_setting="ANTIPHON_LLM",
)


def openai(message: str, kind: str = "invalid_request_error", **more: str | None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None, **more}}


UNKNOWN = ("unknown_model", "ANTIPHON_LLM")


@pytest.mark.parametrize(
    ("status", "body", "cause", "says"),
    [
        (
            401,
            openai("Incorrect API key provided: sk-ab*********wxyz."),
            "bad_key",
            "ANTIPHON_VENDOR_API_KEY",
        ),
        (429, openai("You exceeded your current quota", code="insufficient_quota"), "quota", "credit"),
        (429, openai("Rate limit reached", code="rate_limit_exceeded"), "rate_limit", "for now"),
        (402, {"error": {"message": "Insufficient credits"}}, "quota", "ANTIPHON_VENDOR_API_KEY"),
        (
            404,
            openai("The model `x` does not exist", code="model_not_found"),
            "unknown_model",
            "ANTIPHON_LLM",
        ),
        (
            404,
            {"error": {"message": 'model "llama9" not found, try pulling it first'}},
            "unknown_model",
            "pulling",
        ),
        (400, openai("invalid model ID"), "unknown_model", "ANTIPHON_LLM"),
        (404, {"detail": "Not Found"}, "not_an_api", "ANTIPHON_VENDOR_BASE_URL"),
        (405, {"detail": "Method Not Allowed"}, "not_an_api", "ANTIPHON_VENDOR_BASE_URL"),
        (
            400,
            openai("Unsupported parameter: 'max_tokens'", param="max_tokens"),
            "invalid_request",
            "max_tokens",
        ),
        (
            422,
            {
                "detail": [
                    {"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted", "input": "PRIVATE"}
                ]
            },
            "invalid_request",
            "body.top_k: Extra inputs",
        ),
        (
            403,
            openai("Project does not have access to model", code="model_not_found"),
            "unknown_model",
            "access",
        ),
        (403, openai("Country, region, or territory not supported"), "bad_key", "Country"),
        (500, openai("The server had an error", "server_error"), "overloaded", "500"),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded",
            "529",
        ),
        (504, {}, "timeout", "504"),
        (408, {}, "timeout", "408"),
        (401, {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, "bad_key", "401"),
        (
            400,
            {"error": {"code": "content_filter", "message": "The response was filtered"}},
            "filtered",
            "refused",
        ),
        (404, {"error": {"code": "DeploymentNotFound", "message": "…"}}, "unknown_model", "ANTIPHON_LLM"),
        (
            400,
            {
                "detail": {
                    "status": "invalid_uid",
                    "message": "An invalid ID has been received: 'sarahh'. Make sure to provide a correct one.",
                }
            },
            "unknown_voice",
            "ANTIPHON_VOICE",
        ),
        (
            400,
            openai("The model `x` has been decommissioned", code="model_decommissioned"),
            "unknown_model",
            "ANTIPHON_LLM",
        ),
        (400, openai("Model x is not supported"), "unknown_model", "ANTIPHON_LLM"),
        (
            400,
            openai("Unsupported value: 'temperature' is not supported with this model.", param="temperature"),
            "invalid_request",
            "temperature",
        ),
        (
            422,
            {"detail": [{"loc": ["body", "model_id"], "msg": "Input should be 'a' or 'b'", "input": "x"}]},
            "unknown_model",
            "ANTIPHON_LLM",
        ),
        (
            413,
            openai("Request too large for model `x` on tokens per minute (TPM)", code="rate_limit_exceeded"),
            "rate_limit",
            "for now",
        ),
        (413, openai("Maximum content size limit exceeded"), "invalid_request", "check ANTIPHON_LLM"),
        # What words say in passing.
        (
            400,
            openai("Invalid value", code="invalid_value", param="billing_address"),
            "invalid_request",
            "billing",
        ),
        (400, openai("See the billing page for what your plan has."), "invalid_request", "billing page"),
        (400, openai("The model x with audio was not found in cache"), "invalid_request", "cache"),
        (400, openai("Authentication of the image failed", code="bad_image"), "invalid_request", "image"),
        (400, openai("No moderation for this voice_id", param="input"), "invalid_request", "input"),
        # What they say where nothing else does.
        (404, {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}, *UNKNOWN),
        (400, {"error": {"message": "x/y is not a valid model ID", "code": 400}}, *UNKNOWN),
        (400, {"message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, *UNKNOWN),
        (
            404,
            {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}},
            *UNKNOWN,
        ),
        (400, {"err_code": "Bad Request", "err_msg": "No such model/language combination found."}, *UNKNOWN),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to …"}},
            "quota",
            "ANTIPHON_VENDOR_API_KEY",
        ),
        (
            400,
            {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid."}},
            "bad_key",
            "ANTIPHON_VENDOR_API_KEY",
        ),
    ],
)
def test_what_vendors_say(status: int, body: dict[str, object], cause: str, says: str) -> None:
    error = refused(NAMES, status, {"content-type": "application/json"}, json.dumps(body).encode())
    assert (error.cause, error.provider) == (cause, "vendor:model")
    assert says in error.message
    assert "sk-" not in error.message
    assert "PRIVATE" not in error.message


@pytest.mark.parametrize(
    ("status", "cause", "names"),
    [
        (401, "bad_key", ["KEY"]),
        (403, "bad_key", ["KEY", "BASE_URL"]),
        (404, "not_an_api", ["BASE_URL"]),
        (413, "invalid_request", []),
    ],
)
def test_pages_of_gateways_are_told_by_their_status(status: int, cause: str, names: list[str]) -> None:
    error = refused(NAMES, status, {"content-type": "text/html"}, b"<html><h1>No</h1></html>")
    assert error.cause == cause
    assert [name for name in ("KEY", "BASE_URL") if name in error.message] == names


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"[1]", b'"x"', b"\xff\xfe", b'{"error": [[]]}', b"<html>"]
)
def test_bodies_that_are_no_errors(body: bytes) -> None:
    assert refused(NAMES, 400, {}, body).cause in ("invalid_request", "not_an_api")
    assert refused(NAMES, 500, {}, body).cause == "overloaded"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 60.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "99999999"}, 3600.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0.5s"}, 360.5),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "6m0s"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1h2m",
            },
            3600.0,
        ),
        ({}, None),
    ],
)
def test_when_to_come_again(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=784_111_777.0 - 60.0) == seconds
    error = refused(NAMES, 503, headers, b"")
    assert isinstance(error, ProviderUnavailable)


@pytest.mark.parametrize(
    ("before", "secret"),
    [
        ("", "sk-proj-abcDEF123_456"),
        ("", "gsk_0123456789abcdef"),
        ("", "xi-0123456789"),
        ("", "0123456789abcdef0123456789abcdef"),
        ("", "01234567-89ab-cdef-0123-456789abcdef"),
        ("", "sk-****************************wxyz"),
        ("Token ", "my-secret-token-123"),
        ("Bearer ", "my.secret.tok/en+abc="),
        ("key=", "abcd1234efgh5678ijkl"),
        ('"api_key": "', "abcd1234efgh"),
    ],
)
def test_keys_are_taken_out_of_vendors_words(before: str, secret: str) -> None:
    assert cleaned(f"The key {before}{secret} is\nwrong") == f"The key {before}… is wrong"
    assert "\n" not in cleaned("two\nlines")
    assert len(cleaned("long " * 200)) <= 200


@pytest.mark.parametrize(
    "words",
    [
        "The model distil-whisper-large-v3-en-ct2-int8 was not found",
        "Token limit reached: 30000 tokens per minute",
        "Unsupported parameter: 'max_completion_tokens'",
        "A voice with voice_id EXAVITQu4vr4xnSDxMaL does not exist",
    ],
)
def test_what_is_no_key_stays_in_vendors_words(words: str) -> None:
    assert cleaned(words) == words
