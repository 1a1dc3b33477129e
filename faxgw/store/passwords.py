"""Checks passwords off the event loop: few at a time, and one that was right a moment ago is right at once.

Argon2id costs 64 MiB and some 60 ms of a core (RFC 9106 section 4), which is its purpose; a client that sends 300 jobs
a second with the same name and password must not pay it 300 times. What is remembered is a keyed digest (the key lives
as long as the process) beside the very hash it was checked against, so that a changed password is wrong at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from faxgw.fax.errors import FaxError

HASHES_AT_ONCE = 2
"""Password checks at the same time: each takes 64 MiB (RFC 9106 low-memory profile)."""
MAX_WAITING = 100
"""Password checks that may wait for their turn: some 3 s of work; further ones are put off."""
REMEMBERED_S = 60.0
"""Seconds for which a right password is remembered."""
MAX_REMEMBERED = 10_000
"""Right passwords that are remembered; the oldest is forgotten first."""
MAX_PASSWORD = 1_024
"""Characters of a password at most: hashing is linear in them."""


T = TypeVar("T")


class TooManyChecks(FaxError):
    """So many passwords wait to be checked that this one had better come again."""

    default_public = "Too many logins are being checked at present; try again in a few seconds."


class Passwords:
    """Checks and makes password hashes.

    Args:
        clock: Monotonic seconds.
        hasher: Of argon2-cffi; tests give a cheaper one.
    """

    def __init__(self, clock: Callable[[], float], hasher: PasswordHasher | None = None) -> None:
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._checking: dict[tuple[bytes, str], asyncio.Task[bool]] = {}
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0
        self._decoy = self._hasher.hash(secrets.token_urlsafe(16))

    def close(self) -> None:
        """End the threads; a check that runs is finished first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def remembers(self, name: str, password: str, digest: str) -> bool:
        """Whether this password was right for this name and hash a moment ago; costs nothing."""
        found = self._right.get(self._mark(name, password))
        return found is not None and found[0] > self._clock() and hmac.compare_digest(found[1], digest)

    async def check(self, name: str, password: str, digest: str | None) -> bool:
        """Whether a password is the one that was hashed; without a hash the same work for nothing.

        Args:
            name: The login, which the memory is kept by.
            password: As the client gave it.
            digest: The stored hash; None: there is no such login.

        Raises:
            TooManyChecks: If too many wait already.
        """
        if len(password) > MAX_PASSWORD:
            return False
        if digest is not None and self.remembers(name, password, digest):
            return True
        if digest is None:
            await self._in_thread(self._verify, self._decoy, password)
            return False
        return await self._shared(self._mark(name, password), digest, password)

    async def _shared(self, mark: bytes, digest: str, password: str) -> bool:
        """Check once for all who ask the same at the same time, such as the connections of one client."""
        if (running := self._checking.get((mark, digest))) is None:
            running = asyncio.create_task(self._check(mark, digest, password), name="password")
            self._checking[mark, digest] = running
            running.add_done_callback(lambda task: self._checked(mark, digest, task))
        return await asyncio.shield(running)

    def _checked(self, mark: bytes, digest: str, task: asyncio.Task[bool]) -> None:
        self._checking.pop((mark, digest), None)
        if not task.cancelled():
            task.exception()  # of a check whose askers all went away

    async def _check(self, mark: bytes, digest: str, password: str) -> bool:
        if not await self._in_thread(self._verify, digest, password):
            return False
        self._right[mark] = (self._clock() + REMEMBERED_S, digest)
        while len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)
        return True

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password. Raises TooManyChecks."""
        return await self._in_thread(self._hasher.hash, password)

    async def _in_thread(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooManyChecks
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def _verify(self, digest: str, password: str) -> bool:
        try:
            return self._hasher.verify(digest, password)
        except (VerificationError, InvalidHashError):
            return False

    def _mark(self, name: str, password: str) -> bytes:
        octets = name.encode(errors="surrogatepass") + b"\0" + password.encode(errors="surrogatepass")
        return hmac.digest(self._key, octets, hashlib.sha256)
