"""How each fax machine of the park behaves, as data: the last digits of the number dialled decide, four or two.

Most have a libspandsp terminal and go wrong around it; those with a `script` are machines of the zoo, frame by frame.
docs/simulator.md lists them for people. Times are seconds and are multiplied by the park's pace (not a script's).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from faxgw.simulator.callers import CALLING
from faxgw.simulator.machines import ANSWERING
from faxgw.simulator.manner import Manner
from faxgw.simulator.manners import ODD, Odd
from faxgw.simulator.script import Script
from faxgw.t30 import terminal


class Fax(enum.StrEnum):
    """What a machine does about T.38."""

    OFFERS = "offers"
    """Re-INVITEs to T.38 as soon as the call stands."""
    WAITS = "waits"
    """Takes T.38 when the caller offers it."""
    REFUSES = "refuses"
    """Answers 488 to T.38 and receives over G.711."""


class Ending(enum.StrEnum):
    """How a call goes wrong after the answer."""

    NORMAL = "normal"
    """It does not."""
    AFTER_FIRST_PAGE = "after first page"
    """BYE once page 1 has been confirmed and page 2 has begun."""
    MID_PAGE = "mid-page"
    """Media and signalling fall silent in the middle of page 1; a BYE comes later."""
    SILENT_LAST_PAGE = "silent last page"
    """The last page is received and never confirmed; the line stays open."""


class Voice(enum.StrEnum):
    """Who answers instead of a fax machine."""

    NOBODY = "nobody"
    """A fax machine answers."""
    PERSON = "person"
    """Somebody speaks, then hangs up."""
    SILENCE = "silence"
    """The line is open and silent until the caller gives up."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One machine."""

    suffix: str
    """Last digits of its numbers."""
    name: str
    """Short name, unique."""
    text: str
    """What it does, for people."""
    status: int = 200
    """Final SIP status; 0: it rings until the caller gives up."""
    ring: float = 1.0
    """Seconds of ringing before the final status."""
    fax: Fax = Fax.OFFERS
    voice: Voice = Voice.NOBODY
    ending: Ending = Ending.NORMAL
    ecm: bool = True
    modems: int = 7
    """Mask: V.27ter 1, V.29 2, V.17 4."""
    compressions: int = 14
    """Mask: MH 2, MR 4, MMR 8."""
    resolutions: int = terminal.RESOLUTIONS_ALL
    first: tuple[str, ...] = ()
    """Suffixes whose behaviour the first calls to a number get, one call each; after them its own."""
    script: Script | None = None
    """A machine of the zoo; with one, `ecm` to `resolutions` mean nothing. Machines that call are never dialled."""

    manner: Manner | None = None
    """What is odd about its signalling, its negotiation or its network; it cannot place a call then."""

    @property
    def answers(self) -> bool:
        """Whether it can be dialled."""
        return self.script is None or not self.script.sends

    @property
    def calls(self) -> bool:
        """Whether it can place a call."""
        return self.manner is None and (self.script is None or self.script.sends)


PERSON_TALKS: Final = 8.0
"""Seconds a person speaks before hanging up."""
MID_PAGE_AFTER: Final = 2.0
"""Seconds of image before a dropped call falls silent (not scaled: the fax runs in real time)."""
MID_PAGE_BYE: Final = 20.0
"""Seconds of silence before the BYE of a dropped call."""

_ALL: Final = (
    Behaviour("00", "good", "receives well; re-INVITEs to T.38 at once"),
    Behaviour("01", "waits", "receives well; waits for the caller's T.38 re-INVITE", fax=Fax.WAITS),
    Behaviour("02", "audio", "refuses T.38 with 488 and receives over G.711 in the same call", fax=Fax.REFUSES),
    Behaviour("10", "busy", "busy (486)", status=486, ring=0.0),
    Behaviour("11", "no answer", "rings and never answers", status=0),
    Behaviour("12", "rejects", "declines (603)", status=603, ring=0.0),
    Behaviour("13", "unknown", "number unknown (404)", status=404, ring=0.0),
    Behaviour("14", "out of service", "service unavailable (503)", status=503, ring=0.0),
    Behaviour(
        "20", "person", "a person answers, speaks and hangs up; no fax tones", voice=Voice.PERSON, fax=Fax.REFUSES
    ),
    Behaviour("21", "silence", "answers and stays silent; no fax tones", voice=Voice.SILENCE, fax=Fax.REFUSES),
    Behaviour("30", "hangs up", "hangs up after page 1", ending=Ending.AFTER_FIRST_PAGE),
    Behaviour("31", "drops", "falls silent in the middle of page 1, hangs up later", ending=Ending.MID_PAGE),
    Behaviour("32", "silent last page", "receives the last page and never confirms it", ending=Ending.SILENT_LAST_PAGE),
    Behaviour("40", "slow", "answers late; V.27ter 4800 only", ring=12.0, modems=terminal.MODEMS_V27TER),
    Behaviour("41", "no ECM", "no error correction", ecm=False),
    Behaviour("42", "V.29", "V.29 9600 only", modems=terminal.MODEMS_V29),
    Behaviour("43", "standard", "standard resolution only", resolutions=terminal.RESOLUTIONS_STANDARD_ONLY),
    Behaviour(
        "4301",
        "audio, standard",
        "refuses T.38 with 488; standard resolution only, over G.711",
        fax=Fax.REFUSES,
        resolutions=terminal.RESOLUTIONS_STANDARD_ONLY,
    ),
    Behaviour("4302", "fine", "standard and fine, no superfine", resolutions=terminal.RESOLUTIONS_NO_SUPERFINE),
    Behaviour("44", "MH", "one-dimensional coding only", compressions=2),
    Behaviour("50", "busy twice", "busy twice, then receives well", first=("10", "10")),
    Behaviour("51", "hangs up once", "hangs up after page 1 once, then receives well", first=("30",)),
    Behaviour("52", "drops once", "drops in mid-page once, then receives well", first=("31",)),
)


def _of(odd: Odd) -> Behaviour:
    script = None
    if odd.pause >= 0.0:
        script = Script(odd.suffix, odd.name, odd.text, odd.manner.expected, pause=odd.pause)
    return Behaviour(
        odd.suffix,
        odd.name,
        odd.text,
        status=odd.status,
        ring=odd.ring,
        fax=Fax(odd.fax),
        first=odd.first,
        script=script,
        manner=odd.manner,
    )


_ZOO: Final = (
    *(Behaviour(script.suffix, script.name, script.text, script=script) for script in ANSWERING),
    *(Behaviour(script.suffix, script.name, script.text, fax=Fax.WAITS, script=script) for script in CALLING),
)
_ODD: Final = tuple(_of(odd) for odd in ODD)
BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    behaviour.suffix: behaviour
    for behaviour in (*_ALL, *sorted((*_ODD, *_ZOO), key=lambda behaviour: behaviour.suffix))
}
"""By suffix, in the order of the list."""


def behaviour_of(number: str, earlier_calls: int = 0) -> Behaviour:
    """The behaviour of a number; numbers with no suffix of the table receive well.

    Args:
        number: As dialled.
        earlier_calls: Calls this number has had before.
    """
    digits = "".join(c for c in number if c.isdigit())
    found = BEHAVIOURS.get(digits[-4:]) or BEHAVIOURS.get(digits[-2:], BEHAVIOURS["00"])
    if earlier_calls < len(found.first):
        return BEHAVIOURS[found.first[earlier_calls]]
    return found


def odd_table(machines: Sequence[Odd]) -> str:
    """A table of the documentation, as `zoo_table`."""
    lines = ["| number | machine | behaviour | two pages come to |", "|---|---|---|---|"]
    for odd in machines:
        expected = odd.manner.expected
        lines.append(
            f"| …{odd.suffix} | {odd.name} | {odd.text} | `{expected.cause.value}`, {expected.confirmed} of 2 |"
        )
    return "\n".join(lines) + "\n"


def zoo_table(scripts: Sequence[Script]) -> str:
    """A table of the documentation: what each machine does, and what the gateway makes of it."""
    lines = ["| number | machine | behaviour | two pages come to |", "|---|---|---|---|"]
    for script in scripts:
        expected = script.expected
        result = f"`{expected.cause.value}`, {expected.confirmed} of 2"
        lines.append(f"| {'' if script.sends else '…'}{script.suffix} | {script.name} | {script.text} | {result} |")
    return "\n".join(lines) + "\n"


def table_text() -> str:
    """The table for `--list`."""
    return "".join(f"{'…' * b.answers + b.suffix:<6} {b.name:<22} {b.text}\n" for b in BEHAVIOURS.values())
