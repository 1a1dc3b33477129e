"""Whether a domain has signed a mail: DKIM (RFC 6376), and ARC chains of trusted sealers (RFC 8617); page process only.

The page process has no network: it is asked twice, first which keys it needs, then with these keys. A signature counts
only if it covers the whole body and the fax addresses in To or Cc: else whoever gets one mail of a domain could send it
on to any number. What is valid is dkimpy's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import dkim
import dkim.util

from faxgw.document.limits import MAX_HEADER
from faxgw.document.render import read_all
from faxgw.document.types import Signed, SignedOptions

MAX_SIGNATURES = 10
"""Signatures of the domain that are looked at."""
MAX_KEYS = 30
"""Keys of one mail: an ARC chain of some hops has two a hop."""
MAX_AGE = 7 * 86400.0
"""Seconds after which a signature that says when it was made is too old to be a mail on its way (RFC 6376 section 8.6
warns of mails that are sent again)."""
_ALGORITHMS = frozenset({b"rsa-sha256", b"ed25519-sha256"})
"""SHA-1 is none any more (RFC 8301)."""
_COMMENT = re.compile(r"\([^()]*\)")
_Headers = Sequence[tuple[bytes, bytes]]
_Tags = Mapping[bytes, bytes]


def look(mail_fd: int, options: SignedOptions) -> Signed:
    """Which keys are needed to judge a mail; none: no signature can count."""
    headers = _header(read_all(mail_fd)[:MAX_HEADER])
    wanted = [_key_name(tags) for tags in _signatures(headers, options)]
    chain = _chain(headers, options)
    wanted += [_key_name(tags) for tags in chain]
    return Signed(wanted=tuple(dict.fromkeys(wanted))[:MAX_KEYS])


def verify(mail_fd: int, options: SignedOptions) -> Signed:
    """Judge a mail with the keys that are at hand."""
    message = read_all(mail_fd)
    keys = {key.name.encode("ascii", "replace"): key.record.encode("utf-8", "replace") for key in options.keys or ()}

    def record(name: bytes, timeout: float = 0) -> bytes | None:
        return keys.get(name.rstrip(b".").lower())

    headers = _header(message)
    why = f"it has no DKIM signature of {options.domain}"
    for tags in _signatures(headers, options):
        why = _fault(tags, headers, options) or _checked(message, tags, record)
        if not why:
            return Signed(how="dkim")
    chain = _chain(headers, options)
    if chain:
        seen = _arc_fault(message, headers, options, record)
        if not seen:
            return Signed(how="arc")
        why = f"{why}; {seen}"
    return Signed(why=why)


def _header(message: bytes) -> _Headers:
    """The header fields; none where one of them is malformed: nobody has signed that."""
    try:
        headers: _Headers = dkim.rfc822_parse(message)[0]
    except dkim.DKIMException:
        return ()
    return headers


def _signatures(headers: _Headers, options: SignedOptions) -> Iterator[_Tags]:
    """DKIM signatures of the sender's domain."""
    found = 0
    for name, value in headers:
        if name.lower() == b"dkim-signature" and found < MAX_SIGNATURES:
            tags = _tags(value)
            if tags.get(b"d", b"").lower().decode("ascii", "replace") == options.domain and b"s" in tags:
                found += 1
                yield tags


def _chain(headers: _Headers, options: SignedOptions) -> list[_Tags]:
    """Seals and signatures of an ARC chain whose last seal is that of somebody trusted."""
    sets = [
        (int(tags.get(b"i", b"0") or 0), name.lower(), tags)
        for name, value in headers
        if name.lower() in (b"arc-seal", b"arc-message-signature") and (tags := _tags(value)).get(b"i", b"").isdigit()
    ]
    if not sets or len(sets) > MAX_KEYS:
        return []
    last = max(instance for instance, _, _ in sets)
    sealers = [tags for instance, name, tags in sets if instance == last and name == b"arc-seal"]
    if len(sealers) != 1 or sealers[0].get(b"d", b"").lower().decode("ascii", "replace") not in options.sealers:
        return []
    return [tags for _, _, tags in sets if b"d" in tags and b"s" in tags]


def _fault(tags: _Tags, headers: _Headers, options: SignedOptions) -> str:
    """Why a signature does not count, whether it is valid or not; empty: it does."""
    if tags.get(b"a", b"").lower() not in _ALGORITHMS:
        return "its DKIM signature is of an algorithm that is not safe"
    if b"l" in tags:
        return "its DKIM signature does not cover the whole text"
    made, ends = _moment(tags.get(b"t")), _moment(tags.get(b"x"))
    if (made is not None and options.now - made > MAX_AGE) or (ends is not None and ends < options.now):
        return "its DKIM signature is too old"
    return _uncovered(tags, headers, options)


def _uncovered(tags: _Tags, headers: _Headers, options: SignedOptions) -> str:
    """Whether the fax addresses stand in fields that were signed."""
    signed = [field.strip().lower() for field in tags.get(b"h", b"").split(b":")]
    texts = []
    for field in (b"to", b"cc"):
        values = [value for name, value in headers if name.lower() == field]
        if values and signed.count(field) >= len(values):
            texts += [value.decode("utf-8", "replace") for value in values]
    text = " ".join(texts).lower()
    for recipient in options.recipients:
        if not re.search(rf"(?<![\w.+=/-]){re.escape(recipient.lower())}(?![\w-])", text):
            return "the fax address does not stand in a signed To or Cc line"
    return ""


def _checked(message: bytes, tags: _Tags, record: object) -> str:
    """Why a signature is not valid; empty: it is."""
    judge = dkim.DKIM(message)
    positions = [value for name, value in judge.headers if name.lower() == b"dkim-signature"]
    for position, value in enumerate(positions):
        if _tags(value) == tags:
            try:
                if judge.verify(position, dnsfunc=record):
                    return ""
            except (dkim.DKIMException, ValueError, ArithmeticError, KeyError, IndexError):
                break
    return "its DKIM signature is not valid"


def _arc_fault(message: bytes, headers: _Headers, options: SignedOptions, record: object) -> str:
    judge = dkim.ARC(message)
    try:
        verdict, sets, _reason = judge.verify(dnsfunc=record)
    except (dkim.DKIMException, ValueError, ArithmeticError, KeyError, IndexError):
        return "its ARC chain is not valid"
    if verdict != dkim.CV_Pass or not sets:
        return "its ARC chain is not valid"
    last = max(int(one["instance"]) for one in sets)
    for name, value in headers:
        tags = _tags(value) if name.lower() == b"arc-message-signature" else {}
        if tags.get(b"i") == str(last).encode() and (why := _uncovered(tags, headers, options)):
            return why
    said = next((value for name, value in headers if _is_results(name, value, last)), b"")
    if not _vouches(said.decode("utf-8", "replace"), options.domain):
        return f"its ARC chain does not say that {options.domain} has sent it"
    return ""


def _is_results(name: bytes, value: bytes, instance: int) -> bool:
    return name.lower() == b"arc-authentication-results" and bool(
        re.match(rb"\s*i\s*=\s*" + str(instance).encode() + rb"\s*;", value)
    )


def _vouches(results: str, domain: str) -> bool:
    """Whether authentication results (RFC 8601) say that a domain's signature or SPF record was good."""
    for result in _COMMENT.sub(" ", results).lower().split(";"):
        words = result.split()
        if "dkim=pass" in words and f"header.d={domain}" in words:
            return True
        if "spf=pass" in words and any(w.startswith("smtp.mailfrom=") and _domain_of(w) == domain for w in words):
            return True
    return False


def _domain_of(word: str) -> str:
    value = word.partition("=")[2]
    return value.rpartition("@")[2]


def _tags(value: bytes) -> dict[bytes, bytes]:
    try:
        found: dict[bytes, bytes] = dkim.util.parse_tag_value(value)
    except dkim.util.InvalidTagValueList:
        return {}
    return found


def _moment(value: bytes | None) -> float | None:
    return float(value) if value is not None and value.isdigit() and len(value) <= 12 else None


def _key_name(tags: _Tags) -> str:
    return (tags[b"s"] + b"._domainkey." + tags[b"d"]).lower().decode("ascii", "replace")[:300]
