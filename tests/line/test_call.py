"""Every phase of a call has a bound: a far end that falls silent anywhere holds no line (docs/transport.md, "Bounds").

The far end stays on the line and sends nothing any more, neither media nor BYE; real engines, virtual time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip import control
from faxgw.foip.message import Headers, Request, Response, parse
from faxgw.foip.sdp import Origin, SessionDescription, audio_line, offer
from faxgw.line import call as module
from faxgw.line.incoming import PARTING_WITHIN
from tests.line.far_end import Marks
from tests.line.virtual import Gateway, Machine, Workers, now, run
from tests.t30.conftest import page_image, tiff

TWO = tiff([page_image(1), page_image(2)])
TO_OUR_BYE = 3.0
"""Seconds from the engine's end to ours."""

Moment = Callable[[Workers], bool]


def said(frame: str, times: int = 1) -> Moment:
    return lambda workers: workers.frames().count(frame) >= times


def at_once(_workers: Workers) -> bool:
    return True


def silence_at(moment: Moment, ours: Workers, machine: Machine, at: list[float]) -> None:
    """Let the machine fall silent at that moment of our engine."""
    if moment(ours):
        at.append(now())
        machine.stop_engine()
    else:
        machine.later(0.02, lambda: silence_at(moment, ours, machine, at))


SENDING: list[tuple[str, Moment, Cause, float, bool]] = [
    ("never heard", at_once, Cause.NO_FAX_TONE, 60.0, False),
    ("after DIS", said("<DIS"), Cause.MEDIA_LOST, 35.0, False),
    ("after DCS", said(">DCS"), Cause.MEDIA_LOST, 35.0, False),
    ("after CFR", said("<CFR"), Cause.PAGE_NOT_CONFIRMED, 30.0, True),
    ("after the page", said(">PPS-MPS"), Cause.PAGE_NOT_CONFIRMED, 20.0, True),
    ("after MCF", said("<MCF"), Cause.LAST_PAGE_NOT_CONFIRMED, 30.0, True),
    ("after the last page", said(">PPS-EOP"), Cause.LAST_PAGE_NOT_CONFIRMED, 20.0, True),
    ("after the last MCF", said("<MCF", 2), Cause.OK, 3.0, False),
]


@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
@pytest.mark.parametrize(("name", "moment", "cause", "within", "doubtful"), SENDING, ids=[row[0] for row in SENDING])
def test_a_receiver_that_falls_silent_holds_no_line(
    t38: bool, name: str, moment: Moment, cause: Cause, within: float, doubtful: bool
) -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port, t38=t38) as caller:
            at: list[float] = []
            silence_at(moment, caller.workers, machine, at)
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.doubtful) == (cause, doubtful), outcome.detail
            assert now() - at[0] <= within + TO_OUR_BYE
            await machine.over.wait()
            assert machine.ended is not None and machine.ended.by.value == "remote"

    run(scene())


RECEIVING: list[tuple[str, Moment, Cause, float, int]] = [
    ("never heard", at_once, Cause.NO_FAX_TONE, 35.0, 0),
    ("after our DIS", said(">DIS"), Cause.NO_FAX_TONE, 35.0, 0),
    ("after DCS", said("<DCS"), Cause.MEDIA_LOST, 45.0, 0),
    ("after our CFR", said(">CFR"), Cause.MEDIA_LOST, 35.0, 0),
    ("after page 1", said("<PPS-MPS"), Cause.MEDIA_LOST, 35.0, 1),
    ("after our MCF", said(">MCF"), Cause.MEDIA_LOST, 35.0, 1),
    ("after page 2", said("<PPS-EOP"), Cause.OK, PARTING_WITHIN, 2),
    ("after our last MCF", said(">MCF", 2), Cause.OK, PARTING_WITHIN, 2),
]


@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
@pytest.mark.parametrize(("name", "moment", "cause", "within", "pages"), RECEIVING, ids=[row[0] for row in RECEIVING])
def test_a_sender_that_falls_silent_holds_no_line(
    t38: bool, name: str, moment: Moment, cause: Cause, within: float, pages: int
) -> None:
    async def scene() -> None:
        async with Gateway(t38=t38) as called, Machine(TWO) as machine:
            at: list[float] = []
            silence_at(moment, called.workers, machine, at)
            machine.dial(called)
            await called.inside.over.wait()
            outcome = called.inside.outcome
            assert outcome is not None
            if t38 and name == "never heard":
                cause_here = Cause.MEDIA_LOST  # T.38 was agreed, and not one packet of it came
            else:
                cause_here = cause
            assert (outcome.cause, called.inside.acknowledged) == (cause_here, pages), outcome.detail
            assert now() - at[0] <= within + TO_OUR_BYE
            await machine.over.wait()

    run(scene())


class DeafMarks(Marks):
    """A database that does not answer."""

    async def answered(self, dialog: object) -> bool:
        await asyncio.sleep(1000)
        return True


def test_an_answer_that_is_not_durable_in_time_ends_the_call() -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            began = now()
            calling = asyncio.create_task(caller.fax(TWO, DeafMarks()))
            await machine.over.wait()
            assert now() - began < module.ANSWERED_WITHIN + 1
            assert machine.ended is not None and machine.ended.by.value == "remote"
            outcome = await calling
            assert (outcome.cause, outcome.exposed) == (Cause.LINE_FAULT, False)

    run(scene())


def test_a_machine_that_rings_for_ever_is_cancelled() -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine._on_call = lambda event: machine.endpoint.agent.ring(event.call, now())  # type: ignore[method-assign]
            machine.endpoint._on_incoming = machine._on_call
            began = now()
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.connected) == (Cause.NO_ANSWER, False)
            assert now() - began < 60 + module.FAREWELL_WITHIN + 1

    run(scene())


def deafen(machine: Machine) -> None:
    """From here on the machine answers no SIP any more."""
    machine.endpoint.agent.receive_datagram = lambda *_given: None  # type: ignore[method-assign]


def test_a_far_end_that_answers_no_bye_is_waited_for_4_s() -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.on["Reoffered"] = lambda: machine.later(1.0, lambda: deafen(machine))
            outcome = await caller.fax(TWO)
            assert outcome.cause is Cause.OK
            assert module.FAREWELL_WITHIN <= now() - caller.workers.when(">DCN") <= module.FAREWELL_WITHIN + TO_OUR_BYE

    run(scene())


def test_a_far_end_that_answers_no_reinvite_gets_the_fax_in_audio() -> None:
    """64·T1 long our T.38 proposal goes unanswered; the audio carries the fax, longer than that."""
    pages = tiff([page_image(1 + number % 5) for number in range(12)])

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: deafen(machine)
            marks = Marks()
            began = now()
            outcome = await caller.fax(pages, marks)
            assert "T.38 refused with 408" in outcome.detail
            assert (outcome.transport, outcome.cause) == ("g711", Cause.OK)
            assert len([mark for mark in marks.log if mark.startswith("confirmed")]) == 12
            assert now() - began > 40  # well past the 32 s

    run(scene())


def test_the_bounds_of_the_engine_lie_within_those_of_the_call() -> None:
    limits = control.Limits()
    assert limits.t38_silence < limits.answer_to_phase_b < limits.page < limits.call < module.CALL_WITHIN


# ------------------------------------------------------------------------------------------------- an offer in our 200


class Phone(asyncio.DatagramProtocol):
    """A caller without an offer in its INVITE (RFC 3261 section 13.2.1); speaks SIP by hand."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self._to = ("127.0.0.1", port)
        self._tag = ""

    def send(self, method: str, sequence: int, body: bytes = b"") -> None:
        here = f"127.0.0.1:{self._sock.getsockname()[1]}"
        fields = Headers(
            [
                ("Via", f"SIP/2.0/UDP {here};branch=z9hG4bK{method}{sequence}"),
                ("Max-Forwards", "70"),
                ("From", "<sip:+4930@127.0.0.1>;tag=phone"),
                ("To", "<sip:+4989@127.0.0.1>" + self._tag),
                ("Call-ID", "phone"),
                ("CSeq", f"{sequence} {method}"),
                ("Contact", f"<sip:phone@{here}>"),
            ]
        )
        if body:
            fields.add("Content-Type", "application/sdp")
        self._sock.sendto(Request(method, "sip:+4989@127.0.0.1", fields, body).to_bytes(), self._to)

    async def final(self) -> Response:
        while True:
            message = parse(await asyncio.get_running_loop().sock_recv(self._sock, 65536))
            if isinstance(message, Response) and message.status >= 200:
                self._tag = f";tag={message.to.tag}"
                return message

    def close(self) -> None:
        self._sock.close()


@pytest.mark.parametrize("usable", [True, False])
def test_an_invite_without_an_offer_is_answered_with_ours_and_begins_with_the_ack(usable: bool) -> None:
    async def scene() -> None:
        async with Gateway(t38=False) as called:
            phone = Phone(called.line.port)
            try:
                phone.send("INVITE", 1)
                answer = await phone.final()
                offered = SessionDescription.parse(answer.body)
                assert [line.media for line in offered.media] == ["audio"]
                made = offer(Origin(1, 1, "127.0.0.1"), audio_line(19500, (0,)))
                phone.send("ACK", 1, made.to_bytes() if usable else b"")
                if usable:
                    while not called.workers.places or called.workers.places[0].call is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                    engine = called.workers.places[0].call
                    assert engine is not None
                    assert (engine._start.rtp_remote, engine._start.payload_type) == (("127.0.0.1", 19500), 0)
                    phone.send("BYE", 2)
                await called.inside.over.wait()
                assert called.inside.outcome is not None
                wanted = Cause.HUNG_UP_BEFORE_FAX if usable else Cause.NO_COMMON_MODE
                assert called.inside.outcome.cause is wanted
            finally:
                phone.close()

    run(scene())
