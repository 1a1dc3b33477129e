"""Answers of authorisation servers: what is a token and how long it lasts (RFC 6749 section 5.1)."""

from __future__ import annotations

import pytest

from faxgw.delivery.tokens import MAX_TOKEN, TOKEN_FOR_S, Grant, NoToken, read_token


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"access_token": "a", "expires_in": 60}', ("a", 60.0)),
        (b'{"access_token": "a", "expires_in": "60"}', ("a", 60.0)),
        (b'{"access_token": "a"}', ("a", TOKEN_FOR_S)),
        (b'{"access_token": "a", "expires_in": -5}', ("a", 0.0)),
        (b'{"access_token": "a", "expires_in": 1e9}', ("a", 86_400.0)),
    ],
)
def test_a_token_lasts_as_long_as_its_server_says(body: bytes, found: tuple[str, float]) -> None:
    assert read_token(body) == found


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\r\\nb"}', b'{"access_token": "\xc3\xa9"}',
     b'{"access_token": "a", "expires_in": "soon"}', b'{"access_token": "' + b"x" * (MAX_TOKEN + 1) + b'"}'],
)  # fmt: skip
def test_what_is_no_token_is_refused(body: bytes) -> None:
    with pytest.raises(NoToken):
        read_token(body)


def test_a_grant_is_asked_for_as_a_form() -> None:
    assert Grant("u", "c", "s").form() == b"grant_type=client_credentials"
    assert Grant("u", "c", "s", "a b", "r&").form() == b"grant_type=refresh_token&refresh_token=r%26&scope=a+b"
