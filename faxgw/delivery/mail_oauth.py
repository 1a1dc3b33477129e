"""A login at a mail server by an access token: XOAUTH2 as Google and Microsoft have it, OAUTHBEARER (RFC 7628)."""

from __future__ import annotations

import base64

import aiosmtplib

from faxgw.delivery.tokens import NoToken, TokenSource

MECHANISMS = ("XOAUTH2", "OAUTHBEARER")
"""The first one that the server offers is used."""
_GO_ON = 334
_DONE = 235
_NOT_NOW = 454
"""RFC 4954 section 6: a failure that may pass."""


async def oauth_login(client: aiosmtplib.SMTP, login: str, host: str, port: int, tokens: TokenSource) -> None:
    """Log in.

    Args:
        client: Connected and greeted.
        login: Mailbox in whose name mails are handed in.
        host: The server, as OAUTHBEARER names it.
        port: The server's.
        tokens: Where tokens come from; one that is refused is forgotten.

    Raises:
        SMTPException: If the server takes no tokens, or there is none.
        SMTPAuthenticationError: If it refuses this one; its words, where it has any.
    """
    offered = {each.upper() for each in client.server_auth_methods}
    mechanism = next((each for each in MECHANISMS if each in offered), None)
    if mechanism is None:
        raise aiosmtplib.SMTPException(
            f"{host} takes no access tokens; it offers {', '.join(sorted(offered)) or 'none'}"
        )
    try:
        token = await tokens.token()
    except NoToken as exc:
        raise aiosmtplib.SMTPException(f"no access token: {exc}") from exc
    first = _xoauth2(login, token) if mechanism == "XOAUTH2" else _bearer(login, token, host, port)
    answer = await client.execute_command(b"AUTH", mechanism.encode(), base64.b64encode(first))
    why = ""
    if answer.code == _GO_ON:  # the reason, as JSON; it wants an answer before it refuses (RFC 7628 section 3.2.3)
        why = _decoded(answer.message)
        answer = await client.execute_command(b"" if mechanism == "XOAUTH2" else base64.b64encode(b"\x01"))
    if answer.code != _DONE:
        if answer.code != _NOT_NOW:
            tokens.forget()
        raise aiosmtplib.SMTPAuthenticationError(answer.code, f"{answer.message} {why}".strip())


def _xoauth2(login: str, token: str) -> bytes:
    return f"user={login}\x01auth=Bearer {token}\x01\x01".encode()


def _bearer(login: str, token: str, host: str, port: int) -> bytes:
    """RFC 7628 section 3.1; in the name `,` and `=` are written otherwise (RFC 5801 section 4)."""
    name = login.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01".encode()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")[:200]
    except ValueError:
        return ""
