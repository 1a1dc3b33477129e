"""Digest authentication as a client: RFC 3261 section 22 with RFC 7616 and RFC 8760 (SHA-256, SHA-512-256).

`Authenticator` keeps what one exchange of requests needs: the challenge last seen per kind (401 and 407) and realm,
the nonce count, and whether another try makes sense. It draws no random numbers itself: the client nonce comes from
the caller's source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.headers import TOKEN, quote, unquote

Random = Callable[[int], str]
"""Gives 2·n hexadecimal digits of n random octets, as `secrets.token_hex` does."""

MAX_CHALLENGES = 16
"""Challenges read from one response at most."""
MAX_STALE = 3
"""How often a server may call its nonce stale before we give up."""
MAX_REALMS = 8
"""Protection spaces whose challenges are kept; of more, the oldest is forgotten."""
_CNONCE_OCTETS = 8

_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "MD5": hashlib.md5,
    "SHA-256": hashlib.sha256,
    "SHA-512-256": partial(hashlib.new, "sha512_256"),
}
_STRENGTH = ("MD5", "MD5-SESS", "SHA-256", "SHA-256-SESS", "SHA-512-256", "SHA-512-256-SESS")
"""Weakest first: of several challenges the last one here wins (RFC 8760 section 2.4: "unless a local policy dictates
otherwise"; ours is the strongest, for its topmost may have been put there by somebody in the middle)."""

_SCHEME = re.compile(rf"\s*(?P<scheme>{TOKEN})\s+(?P<rest>.*)", re.DOTALL)
_AUTH_PARAM = re.compile(rf'\s*(?P<name>{TOKEN})\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,"]+)\s*(?:,|$)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password for one realm."""

    username: str
    """Authentication user name."""
    password: str = field(repr=False)
    """Clear text; never logged."""
    realm: str = ""
    """The only realm they are for; empty for any."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A Digest challenge of WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    """Protection space."""
    nonce: str
    """Server nonce."""
    algorithm: str = "MD5"
    """MD5, SHA-256 or SHA-512-256, each also with `-SESS`."""
    qop: tuple[str, ...] = ()
    """Offered qualities of protection: `auth`, `auth-int`; empty for RFC 2069."""
    opaque: str | None = None
    """To be returned unchanged."""
    stale: bool = False
    """The password was right, the nonce too old."""
    spelling: str | None = None
    """The algorithm as the server wrote it, None if it named none."""

    @classmethod
    def parse(cls, text: str) -> Challenge:
        """Read one field value.

        Raises:
            RemoteProtocolError: If it is no Digest challenge, lacks realm or nonce, or wants what we do not have.
        """
        match = _SCHEME.fullmatch(text)
        if match is None or match["scheme"].lower() != "digest":
            raise RemoteProtocolError("no Digest challenge")
        values = _auth_params(match["rest"])
        spelling = values.get("algorithm")
        algorithm = (spelling or "MD5").upper()
        qop = tuple(part.strip().lower() for part in values.get("qop", "").split(",") if part.strip())
        if "realm" not in values or not values.get("nonce") or algorithm not in _STRENGTH:
            raise RemoteProtocolError("incomplete or unsupported Digest challenge")
        if qop and not {"auth", "auth-int"} & set(qop):
            raise RemoteProtocolError("no quality of protection we know")
        stale = values.get("stale", "").lower() == "true"
        return cls(values["realm"], values["nonce"], algorithm, qop, values.get("opaque"), stale, spelling)


def _auth_params(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    position = 0
    while position < len(text) and len(values) < 32:
        match = _AUTH_PARAM.match(text, position)
        if match is None:
            raise RemoteProtocolError("malformed challenge")
        values.setdefault(match["name"].lower(), unquote(match["value"]))
        position = match.end()
    return values


def digest_response(
    challenge: Challenge,
    credentials: Credentials,
    method: str,
    uri: str,
    body: bytes,
    cnonce: str,
    count: int,
    session: tuple[str, str] | None = None,
) -> tuple[str, str]:
    """Compute the request-digest (RFC 7616 section 3.4).

    Args:
        challenge: What is answered.
        credentials: With what.
        method: Of the request.
        uri: The digest-uri.
        body: Of the request, for `auth-int`.
        cnonce: Client nonce.
        count: Nonce count.
        session: Nonce and client nonce that began the session of a `-SESS` algorithm (section 3.4.2); by default these.

    Returns:
        The digest in hexadecimal and the quality of protection used ("" without one).
    """
    base = challenge.algorithm.removesuffix("-SESS")

    def h(text: str | bytes) -> str:
        return _HASHES[base](text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text).hexdigest()

    qop = "auth" if "auth" in challenge.qop else "auth-int" if challenge.qop else ""
    a1 = h(f"{credentials.username}:{challenge.realm}:{credentials.password}")
    if challenge.algorithm.endswith("-SESS"):
        a1 = h(":".join((a1, *(session or (challenge.nonce, cnonce)))))
    a2 = h(f"{method}:{uri}:{h(body)}" if qop == "auth-int" else f"{method}:{uri}")
    middle = f"{challenge.nonce}:{count:08x}:{cnonce}:{qop}" if qop else challenge.nonce
    return h(f"{a1}:{middle}:{a2}"), qop


@dataclass(slots=True)
class _Space:
    challenge: Challenge
    count: int = 0
    stale: int = 0
    proven: bool = False
    session: tuple[str, str] | None = None
    """Nonce and client nonce that began a `-SESS` session; they stay until the next challenge."""


class Authenticator:
    """Answers the challenges of one dialog or registration; the nonce count goes on from request to request.

    A registrar and the proxies before it each have their own challenge; all of them are answered in every request
    (RFC 3261 section 22.3).
    """

    def __init__(self, credentials: Credentials | None, random: Random) -> None:
        self._credentials = credentials
        self._random = random
        self._spaces: dict[tuple[str, str], _Space] = {}
        """By header field and realm."""

    def challenged(self, status: int, values: Iterable[str]) -> bool:
        """Take in the challenges of a 401 or 407.

        Args:
            status: 401 or 407.
            values: The WWW-Authenticate (401) or Proxy-Authenticate (407) values, one challenge each.

        Returns:
            Whether sending the request again with `headers` makes sense.
        """
        if self._credentials is None:
            return False
        name = "Authorization" if status == 401 else "Proxy-Authorization"
        chosen = self._choose(values)
        taken = [self._take(name, challenge) for challenge in chosen.values()]
        return bool(taken) and all(taken)

    def _take(self, name: str, challenge: Challenge) -> bool:
        """Keep one challenge. False: it says that our answer to the last one was wrong."""
        known = self._spaces.pop((name, challenge.realm), None)
        space = _Space(challenge)
        if known is not None and known.count:
            # A new nonce without stale after our answer means: wrong password (RFC 3261 section 22.4).
            if not (challenge.stale or known.proven) or known.stale >= MAX_STALE:
                self._spaces[name, challenge.realm] = known
                return False
            space.stale = known.stale + 1
        while len(self._spaces) >= MAX_REALMS:
            del self._spaces[next(iter(self._spaces))]
        self._spaces[name, challenge.realm] = space
        return True

    def headers(self, method: str, uri: str, body: bytes) -> list[tuple[str, str]]:
        """The Authorization and Proxy-Authorization fields for a request; empty before any challenge."""
        if self._credentials is None:
            return []
        fields = []
        for (name, _realm), space in self._spaces.items():
            space.count += 1
            fields.append((name, self._value(space, self._credentials, method, uri, body)))
        return fields

    def informed(self, name: str, value: str) -> None:
        """Take in an Authentication-Info or Proxy-Authentication-Info: its nextnonce replaces the nonce.

        RFC 7616 section 3.5. The field names no realm, so it is believed only where there is one to mean.
        """
        kind = "Proxy-Authorization" if name.lower().startswith("proxy-") else "Authorization"
        spaces = [space for (field_name, _realm), space in self._spaces.items() if field_name == kind]
        try:
            nonce = _auth_params(value).get("nextnonce", "")
        except RemoteProtocolError:
            return
        if len(spaces) == 1 and nonce and nonce != spaces[0].challenge.nonce:
            spaces[0].challenge = replace(spaces[0].challenge, nonce=nonce)
            spaces[0].count = 0

    def accepted(self) -> None:
        """A request was let through: the password is right, so a later challenge is worth an answer again."""
        for space in self._spaces.values():
            space.stale = 0
            space.proven = True

    def _choose(self, values: Iterable[str]) -> dict[str, Challenge]:
        """The strongest challenge of each realm that we have an answer for."""
        best: dict[str, Challenge] = {}
        for value in list(values)[:MAX_CHALLENGES]:
            try:
                challenge = Challenge.parse(value)
            except RemoteProtocolError:
                continue  # another scheme or algorithm: not for us (RFC 3261 section 22.3)
            if self._credentials is not None and self._credentials.realm not in ("", challenge.realm):
                continue
            known = best.get(challenge.realm)
            if known is None or _STRENGTH.index(challenge.algorithm) > _STRENGTH.index(known.algorithm):
                best[challenge.realm] = challenge
        return best

    def _value(self, space: _Space, credentials: Credentials, method: str, uri: str, body: bytes) -> str:
        challenge = space.challenge
        cnonce = self._random(_CNONCE_OCTETS)
        if space.session is None:
            space.session = (challenge.nonce, cnonce)
        elif challenge.algorithm.endswith("-SESS"):
            cnonce = space.session[1]  # servers that take this request's client nonce agree as well then
        response, qop = digest_response(challenge, credentials, method, uri, body, cnonce, space.count, space.session)
        parts = [
            f"username={quote(credentials.username)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(uri)}",
            f'response="{response}"',
        ]
        if challenge.spelling is not None:
            parts.append(f"algorithm={challenge.spelling}")
        if qop:
            parts += [f'cnonce="{cnonce}"', f"qop={qop}", f"nc={space.count:08x}"]
        elif challenge.algorithm.endswith("-SESS"):
            parts.append(f'cnonce="{cnonce}"')
        if challenge.opaque is not None:
            parts.append(f"opaque={quote(challenge.opaque)}")
        return "Digest " + ", ".join(parts)
