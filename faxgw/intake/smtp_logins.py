"""Logins of SMTP sessions, and who guesses passwords: counted in one place for all connections (RFC 4954 section 4)."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Protocol

from faxgw.fax.ports import MailSession, Submissions
from faxgw.intake.smtp_limits import Failures, client_of
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.store.passwords import TooManyChecks

ADDRESS_FAILURES = 5
"""Failed logins of an address under any name, as a multiple of those under one name."""


class Verdict(enum.Enum):
    """What became of a login."""

    WELCOME = "welcome"
    WRONG = "wrong"
    BARRED = "barred"
    """Too many failed before; it was not looked at."""
    BUSY = "busy"
    """Too many are being checked at this moment."""


class Logins(Protocol):
    """Who checks the logins of sessions."""

    async def check(self, login: str, password: str, session: MailSession) -> Verdict:
        """Check one; an empty login or password is wrong."""
        ...


class CountedLogins:
    """Checks logins, and bars who fails too often.

    Args:
        settings: The limits.
        submissions: Knows the passwords.
        clock: Seconds, never set back.
    """

    def __init__(
        self, settings: SmtpSettings, submissions: Submissions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._submissions = submissions
        self._clock = clock
        self._failures = Failures(settings.auth_failures, settings.auth_window)
        self._address_failures = Failures(ADDRESS_FAILURES * settings.auth_failures, settings.auth_window)

    async def check(self, login: str, password: str, session: MailSession) -> Verdict:
        """Check one; an empty login or password is wrong, and counts."""
        came, client = self._clock(), client_of(session.peer)
        if self._failures.barred((client, login), came) or self._address_failures.barred((client,), came):
            return Verdict.BARRED
        try:
            if login and password and await self._submissions.authenticate(login, password, session):
                return Verdict.WELCOME
        except TooManyChecks:
            return Verdict.BUSY
        self._failures.note((client, login), came)
        self._address_failures.note((client,), came)
        return Verdict.WRONG
