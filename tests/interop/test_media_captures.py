"""Recorded T.38 of other equipment against our engine, in virtual time (ITU-T T.30, T.38)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from faxgw.foip.control import Confirmed, Document, PageReceived, Start, T38Media
from faxgw.foip.t30_frames import describe, name
from faxgw.t30.call import MediaCall
from tests.interop.capture import PAGE, Capture, frames, load
from tests.t30.conftest import TICK, Daemon, Network, memory_file, pixels, receive_start, send_start

SENDING = ("sending-far-end-switches", "sending-gateway-switches")
RECEIVING = ("receiving-far-end-switches", "receiving-gateway-switches")
OUR_PORT, PEER_PORT = 2, 4
PEER = ("192.0.2.1", PEER_PORT)


@contextmanager
def replayed(capture: Capture, start: Start, document: bytes | None) -> Iterator[tuple[Daemon, Network]]:
    """Our engine from the moment T.38 was agreed, fed with what the far end sent then, when it sent it."""
    network = Network()
    audio, t38 = network.socket(1), network.socket(OUR_PORT)
    files = [memory_file(document)] if document is not None else []
    documents = tuple(Document("FN1", 1, 1, 1) for _ in files)
    began = capture.answered_t38
    call = MediaCall(replace(start, t38=T38Media(PEER), documents=documents), audio, t38, files, began)
    daemon = Daemon(call)
    left = [datagram for datagram in capture.udptl if not datagram.ours]
    try:
        now = began
        while not call.ended and now < began + 90:
            now += TICK
            while left and left[0].at <= now:
                t38.queue.append((left.pop(0).octets, PEER))
            call.tick(now)
            daemon.step(now)
        yield daemon, network
    finally:
        call.close()


@pytest.mark.parametrize("scenario", SENDING)
def test_the_ladder_of_a_call_we_placed_is_read_from_its_packets(scenario: str) -> None:
    assert [direction + describe(frame) for _at, direction, frame in frames(load(scenario))] == [
        '<CSI "+33 1 99 00 99 99"',
        "<DIS V.27ter, V.29, V.17, 204x98/204x196/204x391, MH/MR/MMR, ECM, A4 wide, any length",
        '>TSI "+33 1 99 00 00 00"',
        ">DCS V.17, 14400 bit/s, 204x196, MMR, ECM, A4 wide, any length",
        "<CFR",
        ">PPS-EOP",
        "<MCF",
        ">DCN",
    ]


@pytest.mark.parametrize("scenario", SENDING)
def test_the_answers_of_the_far_end_carry_our_page(scenario: str) -> None:
    """Sending: DIS, CFR and MCF of the capture lead our engine through the same frames, and the page is confirmed."""
    capture = load(scenario)
    with replayed(capture, send_start(), PAGE.read_bytes()) as (daemon, _network):
        assert [(confirmed.fax, confirmed.page) for confirmed in daemon.of(Confirmed)] == [("FN1", 1)]
        assert (daemon.result.code, daemon.result.remote_ident) == (0, "+33 1 99 00 99 99")
        statistics = daemon.result.statistics
        assert (statistics.transport, statistics.bit_rate, statistics.encoding) == ("t38", 14400, "MMR")
        assert (statistics.packets_lost, statistics.ecm_retries) == (0, 0)
        assert daemon.frames == [direction + name(frame) for _at, direction, frame in frames(capture)]


@pytest.mark.parametrize("scenario", SENDING)
def test_our_packets_are_still_those_the_far_end_understood(scenario: str) -> None:
    """What the engine sends today carries the very frames that the far end took in the recorded call."""
    capture = load(scenario)
    start = replace(send_start(), station_id="+33 1 99 00 00 00")
    with replayed(capture, start, PAGE.read_bytes()) as (_daemon, network):
        sent = [replace(capture.udptl[0], octets=octets, ours=True) for octets in network.sent[("192.0.2.1", OUR_PORT)]]
        today = frames(Capture((), tuple(sent)))
    then = [frame for _at, direction, frame in frames(capture) if direction == ">"]
    assert [frame for _at, _direction, frame in today] == then


@pytest.mark.parametrize("scenario", RECEIVING)
def test_the_page_the_far_end_sent_is_received(scenario: str) -> None:
    """Receiving: the packets of the capture make exactly the page that the far end was given."""
    capture = load(scenario)
    with replayed(capture, receive_start(), None) as (daemon, _network):
        (page,) = daemon.of(PageReceived)
        assert (page.width, page.encoding, page.bad_rows, page.last) == (1728, "MMR", 0, True)
        assert (page.x_resolution, page.y_resolution) == (8031, 7700)
        assert [pixels(octets) for octets in daemon.pages] == [pixels(PAGE.read_bytes())]
        assert (daemon.result.code, daemon.result.remote_ident) == (0, "+33 1 99 00 99 99")
        assert daemon.frames == [direction + name(frame) for _at, direction, frame in frames(capture)]


@pytest.mark.parametrize("lost", [7, 3])
def test_the_redundancy_of_the_far_end_carries_a_loss(lost: int) -> None:
    """Every `lost`-th packet of the far end goes missing: its redundancy brings all of them back."""
    capture = load("receiving-gateway-switches")
    kept = tuple(datagram for index, datagram in enumerate(capture.udptl) if datagram.ours or index % lost)
    with replayed(replace(capture, udptl=kept), receive_start(), None) as (daemon, _network):
        assert [pixels(octets) for octets in daemon.pages] == [pixels(PAGE.read_bytes())]
        assert daemon.result.statistics.packets_recovered > 0
        assert daemon.result.statistics.packets_lost == 0
