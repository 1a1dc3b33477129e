"""Whole faxes between two `MediaCall`s in virtual time: codings, modems, transports, gates, resuming."""

from __future__ import annotations

import io
import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from faxgw.foip import rtp
from faxgw.foip.control import (
    Ack,
    Cfr,
    Confirmed,
    Document,
    Gate,
    Hangup,
    Heard,
    Limits,
    Media,
    PageReceived,
    PhaseB,
    PhaseE,
    Ping,
    SwitchRefused,
    T38Media,
    Tone,
)
from faxgw.t30 import native, terminal
from faxgw.t30.call import MediaCall
from faxgw.t30.remote import Remote
from tests.t30.conftest import (
    FINE,
    STANDARD,
    Line,
    Network,
    memory_file,
    page_image,
    pixels,
    receive_start,
    send_start,
    tiff,
)

THREE = tiff([page_image(n) for n in (1, 2, 3)])


@pytest.fixture(params=["C", "Python"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs over the media loop in C and over the one in Python."""
    if request.param == "Python":
        monkeypatch.setattr(native, "library", lambda: None)
    else:
        assert native.library() is not None, "the media loop in C is not built"
    return str(request.param)


@pytest.fixture
def lines() -> Iterator[Any]:  # a callable with Line's arguments
    """Makes lines and closes them."""
    made: list[Line] = []

    def make(*args: Any, **kwargs: Any) -> Line:  # passed through to Line
        made.append(Line(*args, **kwargs))
        return made[-1]

    yield make
    for line in made:
        line.close()


def received(line: Line) -> list[tuple[tuple[int, int], bytes]]:
    return [page for octets in line.receiver.pages for page in pixels(octets)]


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize(("compressions", "coding"), [(2, "MH"), (6, "MR"), (14, "MMR")], ids=["MH", "MR", "MMR"])
def test_pages_arrive_identical_in_every_coding(lines: Any, compressions: int, coding: str, ecm: bool) -> None:
    line = lines([THREE], sender=replace(send_start(), compressions=compressions, ecm=ecm)).run()
    assert (line.sender.result.code, line.receiver.result.code) == (0, 0)
    assert received(line) == pixels(THREE)
    statistics = line.sender.result.statistics
    assert (statistics.transport, statistics.ecm, statistics.pages_in_call) == ("t38", ecm, 3)
    assert statistics.encoding == (coding if ecm or coding != "MMR" else "MR")
    assert [page.last for page in line.receiver.of(PageReceived)] == [False, False, True]


@pytest.mark.parametrize(("modems", "rate"), [(7, 14400), (3, 9600), (1, 4800)])
def test_each_modem_carries_a_fax(lines: Any, modems: int, rate: int) -> None:
    line = lines([THREE], receiver=replace(receive_start(), modems=modems)).run()
    assert line.sender.result.statistics.bit_rate == rate
    assert received(line) == pixels(THREE)


@pytest.mark.parametrize(
    ("max_bit_rate", "rate"), [(14400, 14400), (12000, 9600), (9600, 9600), (4800, 4800), (2400, 4800)]
)
def test_t38_max_bit_rate_clamps_the_modems(max_bit_rate: int, rate: int) -> None:
    fastest = {7: 14400, 3: 9600, 1: 4800}[terminal.modems_for_rate(7, max_bit_rate)]
    assert fastest == rate


def test_standard_resolution_keeps_its_height(lines: Any) -> None:
    document = tiff([page_image(1)], STANDARD)
    line = lines([document]).run()
    (page,) = line.receiver.of(PageReceived)
    assert (page.x_resolution, page.y_resolution) == (8031, 3850)
    assert received(line) == pixels(document)


def test_a_page_finer_than_the_far_end_takes_is_refused_before_it_is_sent(lines: Any) -> None:
    line = lines([THREE], receiver_resolutions=terminal.RESOLUTIONS_STANDARD_ONLY).run()
    assert (line.sender.result.code, line.sender.result.reason) == (11, "resolution")
    assert line.sender.of(Confirmed) == []
    assert [(asked.fax, asked.remote_ident) for asked in line.sender.of(PhaseB)] == [("", "+49 40 2")]
    assert line.sender.frames[-1] == ">DCN"


def test_a_later_page_that_is_too_fine_keeps_the_first_one_from_being_sent(lines: Any) -> None:
    """The call ends at CFR: a page must not arrive alone when the next one cannot follow in this call."""
    out = io.BytesIO()
    writer = TiffImagePlugin.AppendingTiffWriter(out, True)
    for number, resolution in ((1, STANDARD), (2, FINE)):
        page_image(number).save(writer, "TIFF", compression="group4", dpi=resolution)
        writer.newFrame()
    line = lines([out.getvalue()], receiver_resolutions=terminal.RESOLUTIONS_STANDARD_ONLY).run()
    assert (line.sender.result.code, line.sender.result.reason) == (11, "resolution")
    assert line.receiver.pages == []


@pytest.mark.parametrize("t38", [True, False])
def test_a_sub_address_reaches_a_far_end_that_takes_it(lines: Any, t38: bool) -> None:
    """T.30 section 5.3.6.2.13: SUB, once DIS bit 49 has said that it is understood."""
    sender = replace(send_start(), sub_address="4711#22")
    line = lines(
        [tiff([page_image(1)])], t38=t38, sender=sender, receiver=replace(receive_start(), takes_sub_address=True)
    )
    line.run()
    assert [decided.sub_address for decided in line.receiver.of(PhaseB)] == ["4711#22"]
    assert ">SUB" in line.sender.frames
    assert "<SUB" in line.receiver.frames
    assert len(line.receiver.pages) == 1


def test_a_sub_address_is_kept_from_a_far_end_that_does_not_take_it(lines: Any) -> None:
    line = lines([tiff([page_image(1)])], sender=replace(send_start(), sub_address="4711")).run()
    assert ">SUB" not in line.sender.frames
    assert [decided.sub_address for decided in line.receiver.of(PhaseB)] == [""]
    assert len(line.receiver.pages) == 1


@pytest.mark.parametrize("sub_address", ["12a", "1" * 21, "+49", "1 2"])
def test_what_is_no_sub_address_is_refused(lines: Any, sub_address: str) -> None:
    with pytest.raises(ValueError, match="sub-address"):
        lines([THREE], sender=replace(send_start(), sub_address=sub_address))


# G.711


@pytest.mark.parametrize("payload_type", [0, 8])
def test_g711_carries_a_fax(lines: Any, payload_type: int) -> None:
    line = lines(
        [THREE],
        t38=False,
        sender=replace(send_start(), payload_type=payload_type),
        receiver=replace(receive_start(), payload_type=payload_type),
    ).run()
    assert received(line) == pixels(THREE)
    assert line.sender.result.statistics.transport == "g711"
    assert [heard.tone for heard in line.sender.of(Heard)] == [Tone.CED, Tone.V21]
    assert [heard.tone for heard in line.receiver.of(Heard)] == [Tone.CNG]


def test_g711_survives_loss_with_ecm(lines: Any) -> None:
    """Lost audio is filled in, never replaced by silence."""
    line = lines([tiff([page_image(1)])], t38=False)
    chance = random.Random(5)
    line.network.lose = lambda _source, _octets: chance.random() < 0.002
    line.run()
    assert received(line) == pixels(tiff([page_image(1)]))
    assert line.receiver.result.statistics.packets_lost > 0


@pytest.mark.parametrize("stall", [5, 20, 45])
def test_g711_survives_our_own_stalls(lines: Any, stall: int) -> None:
    """Ticks that are late are made up, and what came meanwhile is all heard (transport.md F.6)."""
    line = lines([tiff([page_image(1)])], t38=False)
    for turn in itertools.count(1):
        line.now = round(line.now + 0.02, 3)
        line.sender.call.tick(line.now)
        line.sender.step(line.now)
        if turn % 250 >= stall:
            for _ in range(stall + 1 if turn % 250 == stall else 1):
                line.receiver.call.tick(line.now)
            line.receiver.step(line.now)
        if line.sender.call.ended or turn > 6000:
            break
    assert line.sender.result.code == 0
    assert received(line) == pixels(tiff([page_image(1)]))


def test_switch_to_t38_happens_before_phase_b_only(lines: Any) -> None:
    """The audio engine runs from the start; on agreement a fresh T.38 terminal takes over."""
    line = lines([THREE], t38=False)
    line.run(until=lambda: bool(line.sender.of(Heard)))
    line.switch()
    line.run()
    assert line.sender.result.statistics.transport == "t38"
    assert received(line) == pixels(THREE)


def test_switch_to_t38_after_phase_b_is_not_followed(lines: Any) -> None:
    line = lines([THREE], t38=False)
    line.run(until=lambda: bool(line.receiver.of(PhaseB)))
    line.switch()
    line.run()
    assert len(line.sender.of(SwitchRefused)) == len(line.receiver.of(SwitchRefused)) == 1
    assert line.sender.result.statistics.transport == "g711"
    assert received(line) == pixels(THREE)


def test_a_repeated_switch_does_not_restart_t38(lines: Any) -> None:
    line = lines([THREE], t38=False)
    line.run(until=lambda: bool(line.sender.of(Heard)))
    line.switch()
    line.run(until=lambda: bool(line.receiver.pages))
    line.switch()
    line.run()
    assert received(line) == pixels(THREE)


# Loss over UDPTL


@pytest.mark.parametrize("error_correction", ["redundancy", "fec"])
def test_five_percent_loss_costs_nothing_with_error_correction(lines: Any, error_correction: str) -> None:
    line = lines([THREE], error_correction=error_correction)
    chance = random.Random(7)
    line.network.lose = lambda _source, _octets: chance.random() < 0.05
    line.run()
    assert received(line) == pixels(THREE)
    assert line.receiver.result.statistics.packets_recovered > 0
    assert line.receiver.result.statistics.packets_lost == 0


def test_datagrams_never_exceed_what_the_peer_takes(lines: Any) -> None:
    """T38FaxMaxDatagram 72: redundancy is dropped first."""
    line = lines([THREE], max_datagram=72).run()
    assert received(line) == pixels(THREE)
    assert max(len(octets) for port in (2, 4) for octets in line.network.sent["192.0.2.1", port]) <= 72


def test_datagrams_of_strangers_are_dropped(lines: Any) -> None:
    line = lines([THREE])
    line.run(until=lambda: bool(line.receiver.of(PhaseB)))
    line.receiver.call._medium._udptl.queue.append((b"\0\0\1\0\0\0", ("203.0.113.9", 2)))
    line.run()
    assert line.receiver.call.foreign == 1
    assert received(line) == pixels(THREE)


@pytest.mark.parametrize("error_correction", ["none", "redundancy"])
def test_swapped_datagrams_cost_nothing(lines: Any, error_correction: str) -> None:
    """Every tenth datagram arrives after the next one, both ways."""
    line = lines([THREE], error_correction=error_correction)
    count = itertools.count(1)
    late: dict[Any, tuple[bytes, Any]] = {}

    def swap(source: Any, octets: bytes) -> bool:
        other = line.network.sockets["192.0.2.1", {2: 4, 4: 2}[source[1]]]
        if source in late:
            other.queue.append((octets, source))
            other.queue.append(late.pop(source))
            return True
        if next(count) % 10 == 0:
            late[source] = (octets, source)
            return True
        return False

    line.network.lose = swap
    line.run()
    assert received(line) == pixels(THREE)
    assert line.sender.result.statistics.packets_lost == line.receiver.result.statistics.packets_lost == 0
    assert line.sender.result.statistics.ecm_retries == 0


@pytest.mark.parametrize("t38", [True, False])
def test_a_far_end_behind_a_nat_is_answered_where_it_is(lines: Any, t38: bool) -> None:
    """Symmetric media: the SDP states a private address, the packets come from a public one."""
    line = lines([THREE], t38=t38)
    hidden, public = ("10.9.9.9", 7000), ("8.8.8.8", 6000)
    ours, theirs = (2, 4) if t38 else (1, 3)
    line.sender.call._medium._remote = Remote(hidden)
    inside = line.network.sockets["192.0.2.1", theirs]
    line.network.sockets[public] = inside
    inside.address = public
    line.run()
    assert received(line) == pixels(THREE)
    assert line.sender.call.foreign == 2
    assert line.network.sent["192.0.2.1", ours]


# The sender's gates


def test_no_image_leaves_before_exposed_is_acknowledged(lines: Any) -> None:
    """Spine section 5: the gate closes at CFR, for 2 s at most."""
    line = lines([THREE])
    line.sender.refuse = lambda message: isinstance(message, PhaseB)
    line.run()
    assert line.sender.of(Cfr) == [Cfr(1, "FN0")]
    assert line.sender.result.reason == "gate"
    assert line.sender.result.code == -1
    frozen_at = next(at for at, message in line.sender.times if isinstance(message, Cfr))
    ended_at = next(at for at, message in line.sender.times if isinstance(message, PhaseE))
    assert 2.0 <= ended_at - frozen_at <= 2.1
    assert received(line) == []


@pytest.mark.parametrize("t38", [True, False])
def test_a_late_exposure_opens_the_gate(lines: Any, t38: bool) -> None:
    line = lines([THREE], t38=t38)
    line.sender.refuse = lambda message: isinstance(message, PhaseB)

    def acknowledge(now: float) -> None:
        held = [at for at, message in line.sender.times if isinstance(message, Cfr)]
        if held and now - held[0] >= 1.9:
            line.sender.call.receive(Ack(1, Gate.EXPOSED, "FN0", 1), now)

    line.hooks.append(acknowledge)
    line.run()
    assert line.sender.of(Cfr)
    assert received(line) == pixels(THREE)


def test_while_the_gate_is_closed_nothing_is_sent(lines: Any) -> None:
    line = lines([THREE])
    line.sender.refuse = lambda message: isinstance(message, Confirmed)
    line.run(until=lambda: bool(line.sender.of(Confirmed)))
    sent = len(line.network.sent["192.0.2.1", 2])
    line.run(until=lambda: bool(line.sender.of(PhaseE)))
    assert len(line.network.sent["192.0.2.1", 2]) == sent
    assert line.sender.result.reason == "gate"
    assert [(c.fax, c.page) for c in line.sender.of(Confirmed)] == [("FN0", 1)]
    assert len(received(line)) == 1


@pytest.mark.parametrize("t38", [True, False])
def test_every_confirmation_may_take_its_second(lines: Any, t38: bool) -> None:
    line = lines([THREE], t38=t38)
    line.sender.delay = 0.9
    line.run()
    assert received(line) == pixels(THREE)
    assert [(c.fax, c.page) for c in line.sender.of(Confirmed)] == [("FN0", 1), ("FN0", 2), ("FN0", 3)]


def test_an_answer_to_another_gate_opens_nothing(lines: Any) -> None:
    line = lines([THREE])
    line.sender.refuse = lambda message: isinstance(message, Confirmed)
    line.run(until=lambda: bool(line.sender.of(Confirmed)))
    line.sender.call.receive(Ack(1, Gate.CONFIRMED, "FN0", 2), line.now)
    line.sender.call.receive(Ack(1, Gate.PAGE, "", 1), line.now)
    line.run()
    assert line.sender.result.reason == "gate"


# Resuming, several faxes


def test_a_fax_resumes_at_its_first_unconfirmed_page(lines: Any) -> None:
    line = lines([THREE], ranges=[(2, 3)]).run()
    assert received(line) == pixels(THREE)[1:]
    assert [(c.fax, c.page) for c in line.sender.of(Confirmed)] == [("FN0", 2), ("FN0", 3)]
    assert line.sender.of(PhaseB)[0].page == 2


def test_a_range_in_the_middle_stops_where_it_says(lines: Any) -> None:
    line = lines([THREE], ranges=[(2, 2)]).run()
    assert received(line) == pixels(THREE)[1:2]
    assert line.sender.result.code == 0


def test_several_faxes_share_a_call_each_with_its_own_gate(lines: Any) -> None:
    """EOM between the faxes, a second phase B and CFR."""
    other = tiff([page_image(4), page_image(5)])
    line = lines([THREE, other], ranges=[(3, 3), (1, 2)]).run()
    assert received(line) == pixels(THREE)[2:] + pixels(other)
    assert [(b.fax, b.page) for b in line.sender.of(PhaseB)] == [("FN0", 3), ("FN1", 1)]
    assert [(c.fax, c.page) for c in line.sender.of(Confirmed)] == [("FN0", 3), ("FN1", 1), ("FN1", 2)]
    assert [page.last for page in line.receiver.of(PageReceived)] == [False, False, True]


def test_the_second_fax_is_not_exposed_by_the_first(lines: Any) -> None:
    line = lines([THREE, THREE])
    line.sender.refuse = lambda message: isinstance(message, PhaseB) and message.fax == "FN1"
    line.run()
    assert line.sender.of(Cfr) == [Cfr(1, "FN1")]
    assert line.sender.result.reason == "gate"
    assert received(line) == pixels(THREE)


# The receiver's gate (transport.md J.9)


@pytest.mark.parametrize("t38", [True, False])
@pytest.mark.parametrize("ecm", [True, False])
def test_a_page_may_take_two_seconds_to_become_durable(lines: Any, t38: bool, ecm: bool) -> None:
    line = lines([THREE], t38=t38, sender=replace(send_start(), ecm=ecm))
    line.receiver.delay = 1.9
    line.run()
    assert received(line) == pixels(THREE)
    assert (line.sender.result.code, len(line.sender.of(Confirmed))) == (0, 3)


@pytest.mark.parametrize("page", [1, 3])
def test_a_page_never_made_durable_is_never_confirmed(lines: Any, page: int) -> None:
    line = lines([THREE])
    line.receiver.refuse = lambda message: isinstance(message, PageReceived) and message.page == page
    line.run(until=lambda: bool(line.receiver.of(PhaseE)))
    line.sender.call.receive(Hangup(1), line.now)  # BYE
    line.sender.step(line.now)
    assert line.receiver.result.reason == "gate"
    assert len(line.sender.of(Confirmed)) == page - 1
    assert line.sender.result.statistics.pages_in_call == page - 1
    assert line.sender.result.code == 49


def test_a_full_memory_ends_the_call_without_confirmation(
    lines: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library itself would answer MCF although its file could not be written."""
    import resource
    import signal

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    line = lines([THREE])
    line.run(until=lambda: bool(line.sender.of(Confirmed)))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, old[1]))
        line.run(until=lambda: bool(line.receiver.of(PhaseE)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, previous)
    capfd.readouterr()
    assert line.receiver.result.reason == "page"
    assert len(line.sender.of(Confirmed)) == len(line.receiver.pages)
    assert len(line.receiver.pages) < 3


# Hanging up and bounds


def test_bye_in_every_state_ends_with_the_pages_confirmed(lines: Any) -> None:
    """transport.md J.4: 49 with the pages so far; after the last confirmation 0."""
    for seconds in range(1, 90, 2):
        line = lines([THREE])
        line.run(seconds=seconds)
        if line.sender.of(PhaseE):
            break
        line.sender.call.receive(Hangup(1), line.now)
        line.sender.step(line.now)
        confirmed = len(line.sender.of(Confirmed))
        result = line.sender.result
        assert (result.reason, result.statistics.pages_in_call) == ("hangup", confirmed)
        assert result.code == (0 if confirmed == 3 else 49)
        assert line.sender.call.ended
    else:
        pytest.fail("the last moment was before the end of the call")


def test_nobody_there_ends_at_the_limit(lines: Any) -> None:
    line = lines([THREE], sender=replace(send_start(), limits=Limits(answer_to_phase_b=20.0)))
    line.network.lose = lambda _source, _octets: True
    line.run(until=lambda: bool(line.sender.of(PhaseE)))
    assert line.sender.result.reason == "limit"
    assert 20.0 <= line.now - line.started <= 20.1


def test_the_library_gives_up_by_itself_on_a_dead_line(lines: Any) -> None:
    line = lines([THREE])
    line.run(until=lambda: bool(line.receiver.pages))
    line.network.lose = lambda _source, _octets: True
    line.run()
    assert line.sender.result.code == 21
    assert len(line.sender.of(Confirmed)) <= 1


def test_a_page_without_end_hits_its_limit(lines: Any) -> None:
    line = lines([THREE], sender=replace(send_start(), limits=Limits(page=3.0)))
    line.run()
    assert line.sender.result.reason == "limit"


def test_the_whole_call_is_bounded(lines: Any) -> None:
    line = lines([THREE], sender=replace(send_start(), limits=Limits(call=15.0)))
    line.run(until=lambda: bool(line.sender.of(PhaseE)))
    assert line.sender.result.reason == "limit"
    assert line.now - line.started == pytest.approx(15.0, abs=0.1)


# The guard against false confirmation


@pytest.mark.parametrize("held", [round(3.0 + 0.1 * step, 1) for step in range(26)])
def test_an_answer_that_comes_late_confirms_no_later_page(lines: Any, held: float) -> None:
    """transport.md J.5: without the guard page 2 would be confirmed by the answer to page 1."""
    line = lines([THREE], sender=replace(send_start(), ecm=False))
    window: list[float] = []

    def hold(source: tuple[str, int], _octets: bytes) -> bool:
        return False

    line.network.lose = hold
    receiver_out = line.receiver.call._medium._udptl
    queued: list[tuple[float, bytes]] = []
    target = line.network.sockets["192.0.2.1", 2]
    plain = receiver_out.sendto

    def delayed(octets: bytes, address: tuple[str, int]) -> int:
        if not window and line.receiver.of(PageReceived):
            window.append(line.now)
        if window and line.now < window[0] + held:
            queued.append((window[0] + held, octets))
            return len(octets)
        return int(plain(octets, address))

    line.receiver.call._medium._udptl.sendto = delayed

    def deliver(now: float) -> None:
        while queued and queued[0][0] <= now:
            target.queue.append((queued.pop(0)[1], receiver_out.address))

    line.hooks.append(deliver)
    line.run(300.0, until=lambda: bool(line.sender.of(PhaseE)))
    confirmed = [c.page for c in line.sender.of(Confirmed)]
    have = received(line)
    assert confirmed == list(range(1, len(confirmed) + 1))
    assert len(confirmed) <= len(have)
    assert have[: len(confirmed)] == pixels(THREE)[: len(confirmed)]


# What is said about a call


def test_the_trace_reads_as_a_t30_ladder(lines: Any) -> None:
    line = lines([tiff([page_image(1)])]).run()
    assert line.sender.frames == ["<CSI", "<DIS", ">TSI", ">DCS", "<CFR", ">PPS-EOP", "<MCF", ">DCN"]


def test_media_moves_with_a_new_address(lines: Any) -> None:
    line = lines([THREE], t38=False)
    line.run(seconds=1.0)
    elsewhere = line.network.socket(9)
    line.sender.call.receive(Media(1, ("192.0.2.1", 9), 0), line.now)
    line.run(seconds=0.2)
    assert elsewhere.queue
    assert elsewhere.queue[-1][0][1] & 0x7F == 0


def test_a_message_that_is_none_for_a_call_is_refused(lines: Any) -> None:
    with pytest.raises(ValueError, match="Ping"):
        lines([THREE]).sender.call.receive(Ping(1), 0.0)


@pytest.mark.parametrize(
    ("document", "octets"),
    [
        (Document("FN0", 3, 4, 4), THREE),
        (Document("FN0", 3, 2, 1), THREE),
        (Document("FN0", 2, 1, 2), THREE),
        (Document("FN0", 3, 1, 3), b"no TIFF at all"),
        (Document("FN0", 3, 1, 3), THREE[: len(THREE) // 2]),
    ],
    ids=["beyond", "empty", "other count", "no TIFF", "cut off"],
)
def test_a_document_that_does_not_fit_is_found_before_the_call(document: Document, octets: bytes) -> None:
    """A truncated file would be sent short with code 0."""
    network = Network()
    file = memory_file(octets)
    before = len(os.listdir("/proc/self/fd"))
    start = replace(send_start(), documents=(document,), t38=T38Media(("192.0.2.1", 3)))
    with pytest.raises(Exception, match=r"page|TIFF|director"):
        MediaCall(start, network.socket(1), network.socket(2), [file], 0.0)
    os.close(file)
    assert len(os.listdir("/proc/self/fd")) == before - 1


@pytest.mark.parametrize("ident", ["1" * 21, "fax gateway", "+49\n", "ü"])
def test_an_ident_no_machine_can_show_is_refused(ident: str) -> None:
    network = Network()
    with pytest.raises(ValueError, match="station identification"):
        MediaCall(replace(receive_start(), station_id=ident), network.socket(1), network.socket(2), [], 0.0)


def test_the_last_page_refused_is_not_sent_whatever_the_code_says(lines: Any) -> None:
    """transport.md J.4: after RTN for the last page the library reports 0 with a page missing."""
    line = lines([tiff([page_image(1, 1100)])], sender=replace(send_start(), ecm=False), error_correction="none")
    chance = random.Random(3)

    def damage(source: tuple[str, int], octets: bytes) -> bool:
        image = octets[3] & 0x40 and octets[3] & 0x3E  # data of another modem than V.21
        return bool("<CFR" in line.sender.frames and source[1] == 2 and image and chance.random() < 0.5)

    line.network.lose = damage
    line.run()
    assert "<RTN" in line.sender.frames
    assert line.sender.result.code == 0
    assert line.sender.of(Confirmed) == []
    assert line.sender.result.statistics.pages_in_call == 0
    assert line.receiver.pages == []


def test_a_packet_storm_of_the_library_ends_the_call(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """transport.md F.1: after a stall the library can emit packets without end inside one call."""
    line = lines([THREE])
    line.run(until=lambda: bool(line.receiver.pages))
    line.sender.call._medium.engine.packet_budget = 0
    line.run(until=lambda: bool(line.sender.of(PhaseE)))
    assert (line.sender.result.code, line.sender.result.reason) == (-1, "budget")
    assert line.sender.result.statistics.pages_in_call == len(line.sender.of(Confirmed))


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_lost_confirmation_confirms_nothing_it_should_not(lines: Any, page: int, ecm: bool) -> None:
    """Everything the receiver says for 2.5 s after page `page` is lost; T.30 repeats the question."""
    line = lines([THREE], sender=replace(send_start(), ecm=ecm))

    def lose(source: tuple[str, int], _octets: bytes) -> bool:
        came = [at for at, message in line.receiver.times if isinstance(message, PageReceived) and message.page == page]
        return bool(source[1] == 4 and came and line.now - came[0] < 2.5)

    line.network.lose = lose
    line.run()
    confirmed = [c.page for c in line.sender.of(Confirmed)]
    assert confirmed == list(range(1, len(confirmed) + 1))
    assert received(line)[: len(confirmed)] == pixels(THREE)[: len(confirmed)]
    assert len(received(line)) in (len(confirmed), len(confirmed) + 1)
    if not ecm or page < 3:
        assert len(confirmed) == 3


@pytest.mark.parametrize("samples", [80, 240])
def test_a_peer_with_another_packet_time_is_understood(lines: Any, samples: int) -> None:
    """RFC 3551: 10 and 30 ms per packet instead of our 20."""
    line = lines([THREE], t38=False)
    buffer = bytearray()
    repacked = rtp.Sender(rtp.PCMA, 5, 0, 0)

    def repack(source: tuple[str, int], octets: bytes) -> bool:
        if source[1] != 1:
            return False
        buffer.extend(rtp.decode(octets).payload)
        while len(buffer) >= samples:
            packet = repacked.send(bytes(buffer[:samples]))
            line.network.sockets["192.0.2.1", 3].queue.append((packet, source))
            del buffer[:samples]
        return True

    line.network.lose = repack
    line.run()
    assert received(line) == pixels(THREE)


def test_a_page_of_several_ecm_blocks_arrives(lines: Any) -> None:
    """More than 64 KiB coded: PPS-NULL between the blocks, one confirmation for the page."""
    noise = Image.frombytes("1", (1728, 200), random.Random(1).randbytes(216 * 200))
    document = tiff([noise, page_image(2)])
    line = lines([document], sender=replace(send_start(), compressions=2)).run()
    assert ">PPS-NULL" in line.sender.frames
    assert received(line) == pixels(document)
    assert [c.page for c in line.sender.of(Confirmed)] == [1, 2]
