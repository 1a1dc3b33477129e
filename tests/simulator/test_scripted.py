"""A scripted machine behind the verbs of a media call: silent until T.38 is agreed, then datagrams and messages."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.control import Confirmed, Hangup, PageReceived, PhaseB, PhaseE, SwitchT38, T38Media, Trace
from faxgw.simulator.ports import MediaPorts, MediaSockets
from faxgw.simulator.script import Expected, Script
from faxgw.simulator.scripted import ScriptedMedia
from tests.t30.conftest import page_image, pixels, read_all, tiff

DOCUMENT = tiff([page_image(1, 60), page_image(2, 60)])
EXPECTED = Expected(Cause.OK, 2, ())


@pytest.fixture
def pair() -> Iterator[tuple[MediaSockets, MediaSockets]]:
    ports = MediaPorts("127.0.0.1", None)
    one, other = ports.bind(), ports.bind()
    yield one, other
    one.close()
    other.close()


def agreed(with_: MediaSockets) -> T38Media:
    return T38Media(("127.0.0.1", with_.udptl_port))


def test_pages_go_from_one_to_the_other(pair: tuple[MediaSockets, MediaSockets]) -> None:
    caller = ScriptedMedia(Script("S", "s", "", EXPECTED), pair[0], None, DOCUMENT)
    answerer = ScriptedMedia(Script("x", "x", "", EXPECTED), pair[1], agreed(pair[0]))
    assert caller.may_switch and not answerer.may_switch
    caller.receive(SwitchT38(0, agreed(pair[1])), 0.0)
    assert caller.on_t38
    now, said, heard, pages = 0.0, [], [], []
    while now < 100 and not (caller.hung_up and answerer.hung_up):
        now = round(now + 0.02, 3)
        caller.tick(now)
        answerer.tick(now)
        said += [outgoing.message for outgoing in caller.take()]
        for outgoing in answerer.take():
            heard.append(outgoing.message)
            if outgoing.descriptor is not None:
                pages += pixels(read_all(outgoing.descriptor))
    assert pages == pixels(DOCUMENT)
    assert [message.page for message in said if isinstance(message, Confirmed)] == [1, 2]
    received = [message for message in heard if isinstance(message, PageReceived)]
    assert [(page.page, page.rows, page.width, page.encoding, page.bad_rows) for page in received] == [
        (1, 60, 1728, "MMR", 0),
        (2, 60, 1728, "MMR", 0),
    ]
    assert any(isinstance(message, PhaseB) and message.remote_ident for message in heard)
    assert any(isinstance(message, Trace) for message in heard)
    for media in (caller, answerer):
        media.receive(Hangup(0), now)
        (end,) = [outgoing.message for outgoing in media.take() if isinstance(outgoing.message, PhaseE)]
        assert (end.code, end.text, end.statistics.pages_in_call) == (0, "OK", 2)
        assert (end.statistics.bit_rate, end.statistics.ecm, end.statistics.encoding) == (14400, True, "MMR")


def test_without_t38_nothing_is_said(pair: tuple[MediaSockets, MediaSockets]) -> None:
    media = ScriptedMedia(Script("x", "x", "", EXPECTED), pair[0], None)
    media.tick(1.0)
    media.receive(Hangup(0), 2.0)
    (outgoing,) = media.take()
    assert isinstance(outgoing.message, PhaseE) and outgoing.message.code == -1
    media.receive(Hangup(0), 3.0)
    assert media.take() == []


def test_datagrams_of_strangers_are_dropped(pair: tuple[MediaSockets, MediaSockets]) -> None:
    media = ScriptedMedia(Script("x", "x", "", EXPECTED), pair[0], T38Media(("192.0.2.9", 9)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\0", ("127.0.0.1", pair[0].udptl_port))
        media.tick(0.0)
    assert media._machine is not None and media._machine.garbage == 0
