"""What a machine does beside its fax: signalling, T.38 negotiation and network, as data (RFC 3261, ITU-T T.38 annex D).

A `Manner` belongs to a `Behaviour`; the fax itself is a good one unless the behaviour says otherwise. The leg of the
call (`odd_leg`), the messages between agent and wire (`twist`) and the network (`impairment`) go by it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from faxgw.foip.sdp import T38Parameters
from faxgw.simulator.impairment import Conditions
from faxgw.simulator.script import Expected

GOOD: Final = Conditions()
"""A network that does nothing."""
OURS: Final = T38Parameters()
"""What a good machine says of itself."""
SWITCH_AFTER: Final = 0.2
"""Seconds from the ACK to the re-INVITE to T.38."""
SAME: Final = "*"
"""As a redirection: to the number that was dialled."""
ALWAYS: Final = 1_000
"""As a number of refusals."""


class Twist(enum.Enum):
    """What happens to the SIP messages of a call between the machine's agent and the wire."""

    MUTE = "nothing the machine says leaves, not even 100"
    NO_BODY = "the 200 to the INVITE has no session description"
    FIRST_200_LOST = "the first 200 to the INVITE is lost"
    ACK_LOST_TWICE = "the first two ACKs are lost: the 200 comes again"
    FORKED = "a second 200 with another tag follows the first"
    GLARE = "a re-INVITE of the machine crosses the gateway's first"
    ANSWERS_CANCEL = "a CANCEL crosses the 200"
    BYE_UNHEARD = "the answers to the first three BYEs are lost"
    ALL_TWICE = "each message leaves twice"
    REINVITE_UNHEARD = "the gateway's re-INVITEs are lost"
    REFRESHED_BY_GATEWAY = "the session lasts 90 s and the gateway refreshes it"
    REFRESHED_BY_MACHINE = "the session lasts 90 s and the machine refreshes it"
    REASON = "the machine's BYE says Q.850 cause 41"
    NOISE = "each message is preceded by a datagram that is none"


class Reply(enum.Enum):
    """What the session description in the 200 is."""

    AUDIO = "an answer to the audio offered"
    T38_ONLY = "T.38 where audio was offered"
    OTHER_CODEC = "G.729, which was not offered"
    NO_MEDIA = "all lines at port 0"
    HELD = "audio, inactive"


class Layout(enum.Enum):
    """The media lines of an offer of T.38."""

    ALONE = "image"
    IMAGE_FIRST = "image, then audio at port 0"
    AUDIO_OFF_FIRST = "audio at port 0, then image"
    IMAGE_AND_AUDIO = "image and audio, both alive"


class AtEnd(enum.Enum):
    """What follows the fax."""

    BYE = "the gateway's BYE, or the machine's"
    AUDIO = "a re-INVITE back to audio"
    NO_IMAGE = "a re-INVITE with the image line at port 0"


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between the machine and the wire."""

    there: Conditions = GOOD
    """What happens to what the machine sends."""
    here: Conditions = GOOD
    """What happens to what it is sent."""
    audio: bool = False
    """Whether it happens to RTP, too; else to UDPTL alone."""
    silent_after_page: int = 0
    """Nothing the machine sends arrives once it has received and confirmed that page; 0: never."""
    deaf_after_page: int = 0
    """Nothing that is sent to it arrives once it has received and confirmed that page; 0: never."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What is odd about a machine."""

    expected: Expected
    """What our gateway makes of it."""
    steps: tuple[str, ...] = ()
    """SIP messages that occur in this order, others between them: `> ` we say, `< ` the machine says, then how the
    trace of the call begins to word it."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields of the refusal."""
    redirects_to: str = ""
    """Last digits of the number that a 3xx names, or SAME; empty: none."""
    trying_only: bool = False
    """After 100 nothing follows."""
    early_media: float = 0.0
    """Seconds of announcement in early media (183, reliable) before the final status; 0: none."""
    twist: Twist | None = None
    reply: Reply = Reply.AUDIO
    bye_after: float | None = None
    """Seconds from the ACK to the machine's BYE; None: when the fax is over."""
    t38: T38Parameters = OURS
    """What the machine says of itself when it offers T.38."""
    t38_after: float = SWITCH_AFTER
    """Seconds from the ACK to its offer."""
    again_after: float = 0.0
    """Seconds from the first offer to a second one of the same; 0: none."""
    refuses: int = 0
    """Offers of T.38 that it refuses, the first ones."""
    refuses_with: int = 488
    """Status of those; 200: the image line is answered with port 0."""
    offers_after_refusal: float = 0.0
    """Seconds from its refusal to its own offer; 0: none."""
    layout: Layout = Layout.ALONE
    at_end: AtEnd = AtEnd.BYE
    other_port: bool = False
    """T.38 comes from another port than the session description says, and is heard there only (NAT)."""
    other_host: bool = False
    """The session descriptions name an address that is not the machine's (NAT)."""
    network: Network | None = None
