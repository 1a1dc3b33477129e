"""Access tokens of an authorisation server (OAuth 2.0, RFC 6749): asked for when needed, kept while they last."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

from faxgw.delivery.post import post
from faxgw.egress import Egress

TOKEN_MARGIN_S = 30.0
"""Seconds before its end at which a token counts no more."""
TOKEN_FOR_S = 300.0
"""Seconds for which a token without `expires_in` is used."""
MAX_TOKEN = 16_000
"""Characters of a token."""
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


class NoToken(Exception):
    """There is no token; the text says why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How tokens are asked for: the client's own (section 4.4), or by a refresh token (section 6)."""

    url: str
    client: str
    secret: str
    scope: str = ""
    refresh_token: str = ""

    def form(self) -> bytes:
        """The request's body."""
        fields = {"grant_type": "refresh_token" if self.refresh_token else "client_credentials"}
        fields |= {"refresh_token": self.refresh_token} if self.refresh_token else {}
        fields |= {"scope": self.scope} if self.scope else {}
        return urlencode(fields).encode()


class TokenSource:
    """One grant's tokens.

    Args:
        grant: How they are asked for.
        egress: Reaches the server.
        ticks: Monotonic seconds.
    """

    def __init__(self, grant: Grant, egress: Egress, ticks: Callable[[], float]) -> None:
        self._grant = grant
        self._egress = egress
        self._ticks = ticks
        self._known: tuple[float, str] | None = None
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """A token that still counts; one request however many wait for it.

        Raises:
            NoToken: If there is none.
        """
        async with self._asking:
            now = self._ticks()
            if self._known is None or self._known[0] <= now:
                token, lasts = await ask(self._grant, self._egress)
                self._known = now + lasts - TOKEN_MARGIN_S, token
            return self._known[1]

    def forget(self) -> None:
        """The token was refused: the next one is a new one."""
        self._known = None


async def ask(grant: Grant, egress: Egress) -> tuple[str, float]:
    """A new token, and the seconds that it lasts.

    Raises:
        NoToken: If the server gives none.
    """
    pair = f"{quote_plus(grant.client)}:{quote_plus(grant.secret)}".encode()  # section 2.3.1
    headers = {"Authorization": "Basic " + base64.b64encode(pair).decode(), "Content-Type": FORM, "Accept": JSON}
    answer = await post(egress, grant.url, grant.form(), headers)
    if not answer.good:
        raise NoToken(answer.detail)
    return read_token(answer.body)


def read_token(body: bytes) -> tuple[str, float]:
    """Token and seconds that it lasts (section 5.1).

    Raises:
        NoToken: If it is no answer with a token.
    """
    try:
        answer = json.loads(body)
        token, lasts = answer["access_token"], float(answer.get("expires_in") or TOKEN_FOR_S)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NoToken("the answer has no access_token") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or len(token) > MAX_TOKEN:
        raise NoToken("the answer's access_token cannot be sent")
    return token, min(max(lasts, 0.0), 86_400.0)
