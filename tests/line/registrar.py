"""A registrar for tests, over UDP on the loopback, with digest of its own: it shares no code with the client it tests.

It reads requests by splitting lines and checks the Authorization fields by RFC 7616 from scratch.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

USER, PASSWORD, REALM = "fax", "open sesame", "carrier.test"

_PARAM = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_CONTACT = re.compile(r"<([^>]*)>(?:;expires=(\d+))?")
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}


@dataclass
class Received:
    """A request taken apart."""

    method: str
    uri: str
    fields: list[tuple[str, str]]
    body: str
    source: tuple[str, int]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        return next(iter(self.all(name)), "")


@dataclass
class Registrar(asyncio.DatagramProtocol):
    """What it does can be changed at any time."""

    algorithms: tuple[str, ...] = ("MD5",)
    qop: str = "auth"
    uses: int = 10**6
    """How often a nonce may be used before it is stale."""
    proxy: bool = False
    """Whether a proxy before it wants credentials as well."""
    min_expires: int = 0
    granted: int = 600
    refuse: list[tuple[int, str]] = field(default_factory=list)
    """Status and further header lines of the next answers, one each."""
    silent: bool = False
    next_nonces: bool = False
    extra: str = ""
    """Further header lines of a 200."""
    received: tuple[str, int] | None = None
    """Where it claims that requests come from."""
    bindings: dict[str, int] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    password: str = PASSWORD
    _nonces: dict[str, int] = field(default_factory=dict)
    _sessions: dict[str, str] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)

    async def __aenter__(self) -> Registrar:
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.transport.close()
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def registers(self) -> list[Received]:
        return [request for request in self.requests if request.method == "REGISTER"]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        if first.startswith("SIP/2.0"):
            return
        method, uri, _version = first.split(" ")
        fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        request = Received(method, uri, fields, body, addr)
        self.requests.append(request)
        if self.silent or method == "ACK":
            return
        status, more = (200, "") if method == "OPTIONS" else self._register(request)
        self.answers.append(status)
        self._answer(request, status, more)

    def _answer(self, request: Received, status: int, more: str) -> None:
        host, port = self.received or request.source
        via = request.one("Via").replace(";rport", f";rport={port};received={host}")
        to = request.one("To") + ";tag=registrar"
        head = [f"SIP/2.0 {status} Said", f"Via: {via}", f"To: {to}"]
        head += [f"{name}: {request.one(name)}" for name in ("From", "Call-ID", "CSeq")]
        text = "\r\n".join(head) + "\r\n" + more + "Content-Length: 0\r\n\r\n"
        self.transport.sendto(text.encode(), request.source)

    def _register(self, request: Received) -> tuple[int, str]:
        if self.refuse:
            return self.refuse.pop(0)
        if self.proxy and (challenge := self._check(request, "Proxy-Authorization", "proxy." + REALM)) is not None:
            return 407, challenge
        if (challenge := self._check(request, "Authorization", REALM)) is not None:
            return 401, challenge
        default = int(request.one("Expires") or 3600)
        for value in request.all("Contact"):
            for uri, expires in _CONTACT.findall(value):
                seconds = int(expires) if expires else default
                if 0 < seconds < self.min_expires:
                    return 423, f"Min-Expires: {self.min_expires}\r\n"
                if seconds:
                    self.bindings[uri] = min(seconds, max(self.granted, self.min_expires))
                else:
                    self.bindings.pop(uri, None)
        listed = "".join(f"Contact: <{uri}>;expires={seconds}\r\n" for uri, seconds in self.bindings.items())
        info = ""
        if self.next_nonces:
            info = f'Authentication-Info: nextnonce="{self._nonce()}"\r\n'
        return 200, listed + info + self.extra

    def _nonce(self) -> str:
        nonce = f"nonce{next(self._numbers)}"
        self._nonces[nonce] = 0
        return nonce

    def _challenge(self, name: str, realm: str, stale: bool) -> str:
        field_name = "Proxy-Authenticate" if name.startswith("Proxy") else "WWW-Authenticate"
        qop = f', qop="{self.qop}"' if self.qop else ""
        return "".join(
            f'{field_name}: Digest realm="{realm}", nonce="{self._nonce()}", algorithm={algorithm}'
            f', opaque="o"{qop}{", stale=true" if stale else ""}\r\n'
            for algorithm in self.algorithms
        )

    def _check(self, request: Received, name: str, realm: str) -> str | None:
        """None: let it pass; else the challenge."""
        given: dict[str, str] = {}
        for value in request.all(name):
            found = {key: quoted or plain for key, quoted, plain in _PARAM.findall(value)}
            if found.get("realm") == realm:
                given = found
        nonce = given.get("nonce", "")
        if nonce not in self._nonces:
            return self._challenge(name, realm, stale=False)
        if given.get("response") != self._response(request, given, realm) or given.get("opaque", "o") != "o":
            return self._challenge(name, realm, stale=False)
        count_given = int(given.get("nc", "0"), 16)
        if self._nonces[nonce] >= self.uses or (self.qop and count_given != self._nonces[nonce] + 1):
            return self._challenge(name, realm, stale=True)
        self._nonces[nonce] += 1
        return None

    def _response(self, request: Received, given: dict[str, str], realm: str) -> str:
        spelled = given.get("algorithm", "MD5")
        h = _HASHES[spelled.upper().removesuffix("-SESS")]
        a1 = h(f"{USER}:{realm}:{self.password}".encode())
        if spelled.upper().endswith("-SESS"):
            session = self._sessions.setdefault(given["nonce"], given["cnonce"])
            a1 = h(f"{a1}:{given['nonce']}:{session}".encode())
        a2 = f"{request.method}:{request.uri}"
        if given.get("qop") == "auth-int":
            a2 += ":" + h(request.body.encode())
        middle = given["nonce"]
        if "qop" in given:
            middle += f":{given['nc']}:{given['cnonce']}:{given['qop']}"
        return h(f"{a1}:{middle}:{h(a2.encode())}".encode())
