"""Whether a host may send mail for a domain: Sender Policy Framework (RFC 7208), asked without blocking.

Evaluated are version 1 records of TXT, with every mechanism, `redirect` and macros; `exp` is left out, for our answer
says itself what is wrong. Bounded by the RFC's own limits (section 4.6.4) and one deadline for everything.
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

MAX_LOOKUPS: Final = 10
"""Terms that ask DNS (section 4.6.4)."""
MAX_VOID: Final = 2
"""Questions without an answer (section 4.6.4)."""
MAX_NAMES: Final = 10
"""Hosts of one `mx` or `ptr` that are looked at (section 4.6.4)."""
MAX_RECORD: Final = 4_096
"""Characters of a record."""
MAX_TERMS: Final = 200
"""Terms of one record."""
DEADLINE: Final = 20.0
"""Seconds for one evaluation (section 4.6.4 asks for at least 20)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Ask = Callable[[str, str], Awaitable[Sequence[str]]]
"""Name and type (`TXT`, `A`, `AAAA`, `MX`, `PTR`) → what the records say; empty: there are none. Of TXT the joined
strings, of MX the hosts in order. Raises OSError when nobody answers."""

_MECHANISM = re.compile(
    r"([+\-?~]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:[:](.*?))?((?:/[0-9]+)?(?://[0-9]+)?)", re.I
)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.\-]*)=(.*)")
_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_\-])|(.?))", re.DOTALL)
_TOP = re.compile(r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])\.?")


class Verdict(enum.StrEnum):
    """Results of section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIED: Mapping[str, Verdict] = {
    "": Verdict.PASS,
    "+": Verdict.PASS,
    "-": Verdict.FAIL,
    "~": Verdict.SOFTFAIL,
    "?": Verdict.NEUTRAL,
}


class _PermError(Exception):
    """The records are wrong."""


async def check_host(ask: Ask, host: str, sender: str, helo: str = "") -> Verdict:
    """Whether a host may send mail for a sender (section 4).

    Args:
        ask: DNS.
        host: IP address of the client.
        sender: Envelope sender, not the null sender.
        helo: What the client calls itself, for macros.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return Verdict.NONE
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    local, _, domain = sender.rpartition("@")
    try:
        async with asyncio.timeout(DEADLINE):
            return await _Evaluation(ask, address, local or "postmaster", domain, helo).check(domain)
    except (OSError, TimeoutError):
        return Verdict.TEMPERROR
    except _PermError:
        return Verdict.PERMERROR


class _Evaluation:
    """One evaluation, with what it may still ask."""

    def __init__(self, ask: Ask, address: Address, local: str, domain: str, helo: str) -> None:
        self._ask = ask
        self._address = address
        self._local = local
        self._sender = domain
        self._helo = helo
        self._lookups = 0
        self._void = 0

    async def check(self, domain: str) -> Verdict:
        """Section 4.3 to 4.7."""
        if not _is_domain(domain):
            return Verdict.NONE
        records = [r for r in await self._ask(domain, "TXT") if re.match(r"v=spf1(?: |$)", r, re.I)]
        if not records:
            return Verdict.NONE
        if len(records) > 1:
            raise _PermError("several records")
        mechanisms, redirect = _terms(records[0])
        for qualifier, name, value, prefixes in mechanisms:
            if await self._matches(domain, name, value, prefixes):
                return _QUALIFIED[qualifier]
        if redirect is None:
            return Verdict.NEUTRAL
        self._count()
        verdict = await self.check(await self._expand(redirect, domain))
        if verdict is Verdict.NONE:
            raise _PermError("redirected to nowhere")
        return verdict

    # ---------------------------------------------------------------------------------------------- mechanisms

    async def _matches(self, domain: str, name: str, value: str | None, prefixes: str) -> bool:
        match name:
            case "all":
                return True
            case "ip4" | "ip6":
                return self._address in ipaddress.ip_network(f"{value}{prefixes}", strict=False)
            case "include":
                self._count()
                return await self._included(await self._expand(value or "", domain))
            case "exists":
                self._count()
                return bool(await self._addresses(await self._expand(value or "", domain), "A"))
            case "ptr":
                self._count()
                return await self._validated(await self._expand(value or domain, domain)) != ""
        self._count()
        target = await self._expand(value, domain) if value else domain
        hosts = [target]
        if name == "mx":
            hosts = list(await self._records(target, "MX"))
            if len(hosts) > MAX_NAMES:
                raise _PermError("too many hosts")
        short, long = _prefix_lengths(prefixes)
        length = short if self._address.version == 4 else long
        kind = "A" if self._address.version == 4 else "AAAA"
        for host in hosts:
            for found in await self._addresses(host, kind, void=name == "a"):
                if self._address in ipaddress.ip_network(f"{found}/{length}", strict=False):
                    return True
        return False

    async def _included(self, target: str) -> bool:
        """Section 5.2."""
        match await self.check(target):
            case Verdict.PASS:
                return True
            case Verdict.NONE:
                raise _PermError("includes nothing")
            case Verdict.TEMPERROR:
                raise OSError("temporary")
            case _:
                return False

    async def _validated(self, target: str) -> str:
        """The validated name of the client that ends in a domain, or any when that is empty; empty: none."""
        try:
            names = await self._records(self._address.reverse_pointer, "PTR")
        except OSError:
            return ""
        kind = "A" if self._address.version == 4 else "AAAA"
        found: list[str] = []
        for name in list(names)[:MAX_NAMES]:
            try:
                if any(ipaddress.ip_address(one) == self._address for one in await self._ask(name, kind)):
                    found.append(name.rstrip("."))
            except OSError:
                continue
        wanted = target.lower().rstrip(".")
        for name in sorted(found, key=lambda name: name.lower() != wanted):
            if not wanted or name.lower() == wanted or name.lower().endswith("." + wanted):
                return name
        return ""

    # -------------------------------------------------------------------------------------------------- questions

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _PermError("too many lookups")

    async def _records(self, name: str, kind: str, *, void: bool = True) -> Sequence[str]:
        found = await self._ask(name, kind) if _is_askable(name) else ()
        if not found and void:
            self._void += 1
            if self._void > MAX_VOID:
                raise _PermError("too many void lookups")
        return found

    async def _addresses(self, name: str, kind: str, *, void: bool = True) -> Sequence[str]:
        return await self._records(name, kind, void=void)

    # ----------------------------------------------------------------------------------------------------- macros

    async def _expand(self, text: str, domain: str) -> str:
        """Section 7."""
        pieces: list[str] = []
        end = 0
        for match in _MACRO.finditer(text):
            pieces.append(text[end : match.start()])
            end = match.end()
            if match[5]:
                pieces.append({"%": "%", "_": " ", "-": "%20"}[match[5]])
            elif match[1]:
                pieces.append(await self._macro(match[1], match[2], match[3], match[4], domain))
            else:
                raise _PermError("a macro is wrong")
        expanded = "".join([*pieces, text[end:]])
        while len(expanded) > 253 and "." in expanded:
            expanded = expanded.partition(".")[2]
        return expanded

    async def _macro(self, letter: str, digits: str, reverse: str, delimiters: str, domain: str) -> str:
        if digits and int(digits) == 0:
            raise _PermError("a macro of no parts")
        match letter.lower():
            case "s":
                value = f"{self._local}@{self._sender}"
            case "l":
                value = self._local
            case "o":
                value = self._sender
            case "d":
                value = domain
            case "i":
                value = self._dotted()
            case "p":
                value = await self._validated(domain) or await self._validated("") or "unknown"
            case "v":
                value = "in-addr" if self._address.version == 4 else "ip6"
            case "h":
                value = self._helo
            case _:
                raise _PermError("there is no such macro")
        parts = re.split("[" + re.escape(delimiters or ".") + "]", value)
        if reverse:
            parts.reverse()
        if digits:
            parts = parts[-int(digits[:4]) :]
        joined = ".".join(parts)
        return quote(joined, safe="-._~") if letter.isupper() else joined

    def _dotted(self) -> str:
        if self._address.version == 4:
            return str(self._address)
        return ".".join(self._address.exploded.replace(":", ""))


def _terms(record: str) -> tuple[list[tuple[str, str, str | None, str]], str | None]:
    """Mechanisms in order, and where the record redirects to (section 4.6.1).

    Raises:
        _PermError: If a term is wrong: the whole record is.
    """
    words = record[len("v=spf1") :].split(" ")
    if len(record) > MAX_RECORD or len(words) > MAX_TERMS or not record.isascii():
        raise _PermError("the record is too long, or not ASCII")
    mechanisms: list[tuple[str, str, str | None, str]] = []
    modifiers: dict[str, str] = {}
    for word in filter(None, words):
        if match := _MECHANISM.fullmatch(word):
            name, value, prefixes = match[2].lower(), match[3], match[4]
            _check_mechanism(name, value, prefixes)
            mechanisms.append((match[1], name, value, prefixes))
        elif match := _MODIFIER.fullmatch(word):
            name = match[1].lower()
            if name in ("redirect", "exp"):
                if name in modifiers:
                    raise _PermError("a modifier is given twice")
                _check_domain_spec(match[2])
            else:
                _check_macros(match[2])
            modifiers[name] = match[2]
        else:
            raise _PermError("there is no such term")
    return mechanisms, modifiers.get("redirect")


def _check_mechanism(name: str, value: str | None, prefixes: str) -> None:
    if name == "all" and (value is not None or prefixes):
        raise _PermError("all has no value")
    if name in ("include", "exists") and (not value or prefixes):
        raise _PermError("a domain is needed")
    if name == "ptr" and prefixes:
        raise _PermError("ptr has no prefix")
    if name in ("ip4", "ip6"):
        _check_network(name, value or "", prefixes)
        return
    if name in ("a", "mx"):
        _prefix_lengths(prefixes)
    if value is not None:
        _check_domain_spec(value)


def _check_network(name: str, value: str, prefixes: str) -> None:
    if "//" in prefixes:
        raise _PermError("one prefix")
    try:
        if re.search(r"/0[0-9]", prefixes):
            raise ValueError("leading zero")
        network = ipaddress.ip_network(value + prefixes, strict=False)
    except ValueError as exc:
        raise _PermError("no network") from exc
    if network.version != int(name[2]):
        raise _PermError("no network of this version")


def _prefix_lengths(prefixes: str) -> tuple[int, int]:
    short, _, long = prefixes.partition("//")
    found = (short.removeprefix("/") or "32", long or "128")
    if any(len(one) > 3 or (one != "0" and one.startswith("0")) for one in found):
        raise _PermError("a prefix is wrong")
    lengths = int(found[0]), int(found[1])
    if lengths[0] > 32 or lengths[1] > 128:
        raise _PermError("a prefix is too long")
    return lengths


def _check_domain_spec(text: str) -> None:
    """Section 7.1: it ends in a macro or a top label."""
    _check_macros(text)
    if not text or text.endswith("}"):
        if text:
            return
        raise _PermError("a domain is needed")
    if _MACRO.sub("", text) == text or not re.search(r"%\{[^}]*\}$", text):
        last = text.rstrip(".").rpartition(".")
        if not last[1] or not _TOP.fullmatch(last[2]):
            raise _PermError("a domain is needed")


def _check_macros(text: str) -> None:
    if any(not "!" <= c <= "~" for c in text):
        raise _PermError("a character is wrong")
    for match in _MACRO.finditer(text):
        if match[1] is None and match[5] is None:
            raise _PermError("a macro is wrong")
        if match[1] is not None and match[1].lower() not in "slodiphv":
            raise _PermError("there is no such macro")
        if match[2] and int(match[2][:9]) == 0:
            raise _PermError("a macro of no parts")


def _is_domain(domain: str) -> bool:
    """Section 4.3: a name of several labels."""
    labels = domain.rstrip(".").split(".")
    return len(labels) > 1 and _is_askable(domain)


def _is_askable(name: str) -> bool:
    name = name[:-1] if name.endswith(".") else name
    return 0 < len(name) <= 253 and all(0 < len(label) <= 63 for label in name.split("."))
