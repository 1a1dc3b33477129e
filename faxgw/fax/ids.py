"""Identifiers (docs/spine.md section 1). Random octets and the time are arguments: nothing here is drawn."""

from __future__ import annotations

import string
import uuid
from typing import NewType

MessageId = NewType("MessageId", str)
JobId = NewType("JobId", str)
FaxId = NewType("FaxId", str)
AttemptId = NewType("AttemptId", str)
ReceptionId = NewType("ReceptionId", str)
OutboxId = NewType("OutboxId", str)

RANDOM_OCTETS = 16
"""Octets of randomness each function wants."""
_ALPHABET = string.digits + string.ascii_uppercase


def _base36(entropy: bytes, length: int) -> str:
    number, letters = int.from_bytes(entropy, "big"), ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        letters += _ALPHABET[digit]
    return letters


def job_id(entropy: bytes) -> JobId:
    """`F[A-Z0-9]{21}` whose second character is never N, from 16 random octets."""
    body = _base36(entropy, 21)
    return JobId("F" + ("M" if body[0] == "N" else body[0]) + body[1:])


def fax_id(entropy: bytes) -> FaxId:
    """`FN[A-Z0-9]{20}` from 16 random octets."""
    return FaxId("FN" + _base36(entropy, 20))


def uuid7(now: float, entropy: bytes) -> uuid.UUID:
    """UUID version 7 (RFC 9562 section 5.7) of a Unix time in seconds and at least 10 random octets."""
    milliseconds = int(now * 1000) & ((1 << 48) - 1)
    random = int.from_bytes(entropy[:10], "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return uuid.UUID(int=value)


def prefixed(prefix: str, now: float, entropy: bytes) -> str:
    """`msg_`, `att_`, `rcv_` or `out_` and a UUIDv7 in hexadecimal."""
    return f"{prefix}_{uuid7(now, entropy).hex}"
