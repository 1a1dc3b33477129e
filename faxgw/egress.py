"""HTTP requests to places that a stranger named: never into our own network (SSRF).

The name is resolved once, each address that comes out is checked, and the socket is opened to one of exactly these:
what is connected is what was checked, whatever the name's server answers next time. Redirects are followed by hand,
each through the same check. Only http and https, bounded in octets, redirects and time; no proxy of the environment.

Addresses that are not global (RFC 6890: private, loopback, link-local with the clouds' metadata service, shared,
multicast, reserved) are refused unless a list allows them; an IPv4 address in an IPv6 one counts as what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any  # aiohttp's address tuples

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from faxgw.fax.errors import FaxError

MAX_REDIRECTS = 5
"""Redirects of one request that are followed."""
CONNECT_S = 10.0
"""Seconds until a connection stands."""
IDLE_S = 20.0
"""Seconds without an octet."""
MAX_URL = 2_000
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 65_536
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052: an IPv4 address in its last 32 bits."""
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unfetched(FaxError):
    """The document could not be had; the public text says why, without addresses."""

    default_public = "The document could not be fetched."


class Forbidden(Unfetched):
    """The place is none that requests are sent to."""

    default_temporary = False
    default_public = "The document's address is none that this gateway fetches from."


class Closed(Forbidden):
    """The place is an address that is not open to requests."""


def embedded(address: Address) -> Address:
    """The IPv4 address within an IPv6 address that stands for one (RFC 4291, RFC 6052, RFC 3056, RFC 4380)."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address


def is_open(text: str, allowed: Sequence[Network]) -> bool:
    """Whether requests may go to an address.

    Args:
        text: The address; a zone (`%eth0`) makes it one that is not.
        allowed: Networks that are open though they are not global.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    inner = embedded(address)
    if any(inner in network or address in network for network in allowed):
        return True
    if isinstance(inner, ipaddress.IPv6Address) and (inner.is_site_local or inner.scope_id):
        return False
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def check_url(text: str) -> URL:
    """A URL that may be asked for, as far as its text tells.

    Raises:
        Forbidden: If it is none, of another scheme, or without a host.
    """
    try:
        url = URL(text)
        port, _host = url.port, url.host  # a host that says it is IDNA and is not is found out when it is asked for
    except ValueError as exc:
        raise Forbidden(f"no URL: {exc}", public="The document's address is not a URL.") from exc
    if url.scheme not in ("http", "https"):
        raise Forbidden("scheme", public="The document's address must begin with http:// or https://.")
    if not url.host or not port or len(text) > MAX_URL:
        raise Forbidden("host", public="The document's address is not a URL.")
    return url


class Egress:
    """Sends requests to places that a stranger named.

    Args:
        allowed: Networks that are open though they are not global.
        tls: How servers are checked; None: by the machine's authorities.
    """

    def __init__(self, allowed: Sequence[Network] = (), tls: ssl.SSLContext | None = None) -> None:
        self._allowed = tuple(allowed)
        self._tls = tls

    def check(self, text: str) -> None:
        """Refuse at once what would be refused later, as far as the URL tells without asking anybody.

        Raises:
            Forbidden: If it is no URL that can be asked for; Closed if that is for its address.
        """
        host = check_url(text).host or ""
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            if not is_open(host, self._allowed):
                raise Closed(f"address {host}")

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client whose sockets open to checked addresses only. It follows no redirects unless told to by hand."""
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self._allowed),
            use_dns_cache=False,
            socket_factory=self._socket,
            force_close=True,
            ssl=self._tls or True,
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as made:
            yield made

    async def connect(self, host: str, port: int, *, within: float) -> socket.socket:
        """A connection for protocols other than HTTP, to a checked address; not blocking, the caller's to close.

        Args:
            host: A name, or an address.
            port: TCP port.
            within: Seconds for name and connection.

        Raises:
            Forbidden: If the name leads to an address that is not open.
            OSError: If it cannot be reached; a TimeoutError when it took too long.
        """
        loop = asyncio.get_running_loop()
        fault: OSError = OSError(f"{host} has no address")
        async with asyncio.timeout(within):
            for each in await _Resolver(self._allowed).resolve(host, port):
                address = (each["host"], port)
                opened = self._socket((each["family"], socket.SOCK_STREAM, 0, "", address))
                try:
                    opened.setblocking(False)
                    await loop.sock_connect(opened, address)
                except OSError as exc:
                    opened.close()
                    fault = exc
                except BaseException:
                    opened.close()
                    raise
                else:
                    return opened
        raise fault

    async def fetch(self, text: str, *, limit: int, within: float) -> AsyncGenerator[bytes, None]:
        """The octets of a document, piece by piece.

        Args:
            text: Its URL.
            limit: Octets at most.
            within: Seconds for all of it.

        Raises:
            Unfetched: If it cannot be had; `temporary` says whether trying again may help.
        """
        try:
            async with asyncio.timeout(within), self.session() as session:
                async for piece in self._follow(session, check_url(text), limit):
                    yield piece
        except TimeoutError as exc:
            raise Unfetched("timeout", public="The document's server took too long.") from exc
        except aiohttp.InvalidURL as exc:
            raise Forbidden(str(exc), public="The document's address is not a URL.") from exc
        except aiohttp.ClientError as exc:
            if isinstance(refused := exc.__cause__, Forbidden) or isinstance(refused := _refusal(exc), Forbidden):
                raise refused from exc
            raise Unfetched(f"{type(exc).__name__}: {exc}", public="The document's server cannot be reached.") from exc

    async def _follow(self, session: aiohttp.ClientSession, url: URL, limit: int) -> AsyncIterator[bytes]:
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in REDIRECTS and "Location" in answer.headers:
                    url = check_url(str(url.join(_location(answer.headers["Location"]))))
                    continue
                _check_answer(answer, limit)
                size = 0
                async for piece in answer.content.iter_chunked(_CHUNK):
                    size += len(piece)
                    if size > limit:
                        raise _too_large(limit)
                    yield piece
                return
        raise Unfetched("redirects", public="The document's server redirects too often.", temporary=False)

    def _socket(self, found: Any) -> socket.socket:
        """Open the socket of a connection, if its address is open: the last look before anything leaves."""
        family, kind, protocol, _name, address = found
        if not is_open(address[0], self._allowed):
            raise Forbidden(f"address {address[0]}")
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Resolves names of the machine's resolver; a name that leads into our own network leads nowhere."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See aiohttp."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        addresses = [(kind, str(address[0]).partition("%")[0]) for kind, _, _, _, address in found]
        if any(not is_open(address, self._allowed) for _, address in addresses):
            raise Forbidden(f"{host} leads to {', '.join(address for _, address in addresses)}")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        """See aiohttp."""


def _refusal(error: BaseException) -> BaseException | None:
    """What lies at the bottom of an error."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None or isinstance(seen, Forbidden):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _location(text: str) -> URL:
    try:
        return URL(text)
    except ValueError as exc:
        raise Forbidden("redirect", public="The document's server redirects to no URL.") from exc


def _check_answer(answer: aiohttp.ClientResponse, limit: int) -> None:
    status = answer.status
    if status != 200:
        temporary = status >= 500 or status in (408, 425, 429)
        raise Unfetched(f"status {status}", public=f"The document's server answered {status}.", temporary=temporary)
    if answer.content_length is not None and answer.content_length > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Unfetched:
    return Unfetched("too large", public=f"The document has more than {limit} octets.", temporary=False)
