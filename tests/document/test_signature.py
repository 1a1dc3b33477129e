"""Signatures of strangers' mails: whatever stands in them, an answer comes; only keys that can matter are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document import signature
from faxgw.document.types import SignedOptions, SigningKey

OPTIONS = SignedOptions("example.org", ("+331@fax.example",), ("sealer.test",), 1_800_000_000.0)
END = b"To: +331@fax.example\r\n\r\nHello\r\n"


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    opened: list[int] = []
    yield opened
    for fd in opened:
        os.close(fd)


def mail(content: bytes) -> int:
    fd = os.memfd_create("mail")
    os.write(fd, content)
    return fd


def field(domain: str, selector: str = "s1", more: str = "") -> bytes:
    tags = f"v=1; a=rsa-sha256; c=simple/simple; d={domain}; s={selector}; h=from:to; bh=AAAA; b=BBBB{more}"
    return f"DKIM-Signature: {tags}\r\n".encode()


def wanted(content: bytes, descriptors: list[int]) -> tuple[str, ...]:
    descriptors.append(mail(content))
    return signature.look(descriptors[-1], OPTIONS).wanted


def test_only_keys_of_the_senders_domain_are_wanted(descriptors: list[int]) -> None:
    content = (
        field("evil.test") + field("Example.ORG", "A") + field("sub.example.org") + field("example.org", "b") + END
    )
    assert wanted(content, descriptors) == ("a._domainkey.example.org", "b._domainkey.example.org")


def test_the_number_of_keys_is_bounded(descriptors: list[int]) -> None:
    many = b"".join(field("example.org", f"s{n}") for n in range(200)) + END
    assert len(wanted(many, descriptors)) == signature.MAX_SIGNATURES
    seals = b"".join(
        f"ARC-Seal: i={n}; a=rsa-sha256; d=sealer.test; s=k{n}; cv=none; b=AAAA\r\n".encode() for n in range(1, 200)
    )
    assert wanted(seals + END, descriptors) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        b"DKIM-Signature: \r\n" + END,
        b"DKIM-Signature: d=example.org\r\n" + END,
        b"DKIM-Signature: d=example.org; s=s1; d=example.org\r\n" + END,
        field("example.org", more="; x=99999999999999999999") + END,
        field("example.org").replace(b"b=BBBB", b"b=\xff\xfe") + END,
        field("example.org").replace(b"h=from:to", b"h=") + END,
        b"ARC-Seal: i=x; d=sealer.test\r\n" + END,
        b"ARC-Seal: i=1; d=sealer.test; s=k; a=rsa-sha256; cv=fail; b=A\r\n" + END,
    ],
)
def test_what_is_no_signature_proves_nothing(content: bytes, descriptors: list[int]) -> None:
    descriptors.append(mail(content or b"\r\n"))
    keys = (SigningKey("s1._domainkey.example.org", "v=DKIM1; p=AAAA"), SigningKey("k._domainkey.sealer.test", "x"))
    options = SignedOptions(OPTIONS.domain, OPTIONS.recipients, OPTIONS.sealers, OPTIONS.now, keys)
    found = signature.verify(descriptors[-1], options)
    assert (found.how, bool(found.why)) == ("", True)


@given(st.text(alphabet="DKIMSignatureARCSeal:;=dsabhi =\r\n.@<>()0123456789é", max_size=400))
def test_any_header_is_answered(text: str) -> None:
    fd = mail(b"DKIM-Signature: d=example.org; s=s1; " + text.encode() + b"\r\n\r\n")
    try:
        signature.look(fd, OPTIONS)
        options = SignedOptions(OPTIONS.domain, OPTIONS.recipients, OPTIONS.sealers, OPTIONS.now, ())
        assert signature.verify(fd, options).how == ""
    finally:
        os.close(fd)
