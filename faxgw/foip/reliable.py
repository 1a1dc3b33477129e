"""Reliable provisional responses: numbers, their order and their repetition (RFC 3262).

Pure: `RSeqOrder` is the caller's side, `ReliableResponse` the called side's one response under way. Section numbers
are those of RFC 3262.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Request, Response
from faxgw.foip.options import RELIABLE, lists

MAX_RSEQ = 2**32 - 1
"""Largest response number (section 7.1)."""
MAX_FIRST = 2**31 - 1
"""Largest first response number (section 3)."""

_RACK = re.compile(r"\s*(?P<rseq>\d{1,10})\s+(?P<cseq>\d{1,10})\s+(?P<method>\S+)\s*")
_RSEQ = re.compile(r"\d{1,10}")


@dataclass(frozen=True, slots=True)
class RAck:
    """What a PRACK acknowledges (section 7.2)."""

    rseq: int
    """RSeq of the provisional response."""
    cseq: int
    """CSeq number of the INVITE."""
    method: str
    """`INVITE`."""

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Read the field.

        Raises:
            RemoteProtocolError: 400 if it is none.
        """
        match = _RACK.fullmatch(text)
        if match is None:
            raise RemoteProtocolError("malformed RAck")
        return cls(int(match["rseq"]), int(match["cseq"]), match["method"])

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def rseq_of(response: Response) -> int | None:
    """The RSeq of a response that must be acknowledged by PRACK; None if it must not (section 4)."""
    if not 100 < response.status < 200 or not lists(response.headers, "Require", RELIABLE):
        return None
    value = response.headers.get("RSeq") or ""
    if not _RSEQ.fullmatch(value) or not 0 < int(value) <= MAX_RSEQ:
        return None
    return int(value)


class RSeqOrder:
    """The order of the reliable provisional responses of one early dialog (section 4)."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def take(self, rseq: int) -> bool:
        """Whether this response is the next one; repetitions and those that overtook another are dropped."""
        if self._last and rseq != self._last + 1:
            return False
        self._last = rseq
        return True


class ReliableResponse:
    """One provisional response of ours until its PRACK (section 3).

    Args:
        response: Complete but for Require and RSeq, which are put in here.
        rseq: Its number.
        now: When it is sent first.
        t1: First interval in seconds; each further one is twice as long.
    """

    def __init__(self, response: Response, rseq: int, now: float, t1: float) -> None:
        response.headers.add("Require", RELIABLE)
        response.headers.add("RSeq", rseq)
        self.response = response
        self.rseq = rseq
        self._interval = t1
        self.repeat_at = now + t1
        """When it goes out again."""
        self.give_up_at = now + 64 * t1
        """When the INVITE is refused: no PRACK came."""

    @property
    def holds_2xx(self) -> bool:
        """Whether no 2xx may be sent before the PRACK: it bears a session description (section 3)."""
        return bool(self.response.body)

    def repeated(self) -> None:
        """It went out again."""
        self._interval *= 2
        self.repeat_at += self._interval

    def is_acknowledged_by(self, prack: Request) -> bool:
        """Whether a PRACK means this response.

        Raises:
            RemoteProtocolError: 400 if its RAck cannot be read.
        """
        rack = RAck.parse(prack.headers.get("RAck") or "")
        return rack == RAck(self.rseq, self.response.cseq.number, "INVITE")
