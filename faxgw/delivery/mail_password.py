"""A login at a mail server by a password: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195); one try for each mail.

Passwords leave over checked TLS only, or to a relay of this machine, so the plainest mechanism is as safe as any and
the one that every server can check. A password that is refused is not tried by another mechanism: it would be wrong
three times for each mail, and providers lock accounts for that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import aiosmtplib

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
"""In this order, of those that the server offers."""
_NOT_SO = frozenset({500, 502, 504, 534})
"""Replies that speak of the mechanism, not of the password (RFC 4954 sections 4 and 6)."""


async def password_login(client: aiosmtplib.SMTP, login: str, password: str, host: str) -> None:
    """Log in.

    Args:
        client: Connected and greeted.
        login: User name.
        password: Its password.
        host: The server, for people.

    Raises:
        SMTPException: If the server offers no way that we know.
        SMTPAuthenticationError: If it refuses.
    """
    ways: Mapping[str, Callable[[str, str], Awaitable[object]]] = {
        "PLAIN": client.auth_plain,
        "LOGIN": client.auth_login,
        "CRAM-MD5": client.auth_crammd5,
    }
    offered = {each.upper() for each in client.server_auth_methods}
    refused: aiosmtplib.SMTPAuthenticationError | None = None
    for mechanism in MECHANISMS:
        if mechanism not in offered:
            continue
        try:
            await ways[mechanism](login, password)
        except aiosmtplib.SMTPAuthenticationError as exc:
            if exc.code not in _NOT_SO:
                raise
            refused = exc
        else:
            return
    raise refused or aiosmtplib.SMTPException(
        f"{host} takes no password; it offers {', '.join(sorted(offered)) or 'no login'}"
    )
