"""Calls through rtpengine's T.38 gateway, recorded on our side and replayed to a fresh engine (docs/calls.md).

The far end's T.38 is that of a gateway: frames come as its modem hears them, and rates are negotiated end to end.
"""

from __future__ import annotations

import pytest

from faxgw.foip.control import Confirmed, PageReceived
from faxgw.foip.recording import Medium
from faxgw.foip.t30_frames import name
from tests.interop.capture import PAGE, frames
from tests.interop.kamailio import RECEIVER
from tests.interop.park import CALLER
from tests.interop.record_gateway import AUDIO_ONLY
from tests.interop.replay import as_capture, named, replayed
from tests.t30.conftest import pixels

pytestmark = pytest.mark.interop
BOTH = pytest.mark.parametrize("recorded", ["gateway-sending", "gateway-receiving"])


@BOTH
def test_a_replay_climbs_the_recorded_ladder(recorded: str) -> None:
    call = named(recorded)
    then = [way + name(frame) for _at, way, frame in frames(as_capture(call))]
    with replayed(call, PAGE.read_bytes() if call.header.sending else None) as daemon:
        assert daemon.frames == then
        assert daemon.result.code == 0
        if call.header.sending:
            assert [confirmed.page for confirmed in daemon.of(Confirmed)] == [1]
        else:
            (page,) = daemon.of(PageReceived)
            assert (page.bad_rows, page.last) == (0, True)
            assert [pixels(octets) for octets in daemon.pages] == [pixels(PAGE.read_bytes())]


def test_a_cfr_without_octets_is_no_cfr() -> None:
    """The page is not sent: DCS is said again, and the machine's DCN ends the call."""
    call = named("gateway-cfr-lost")
    with replayed(call, PAGE.read_bytes()) as daemon:
        assert daemon.frames == ["<CSI", "<DIS", ">TSI", ">DCS", ">TSI", ">DCS", "<DCN"]
        assert daemon.of(Confirmed) == []
        assert daemon.result.code == 14


@BOTH
def test_the_proxy_stands_in_the_route_and_no_real_number_anywhere(recorded: str) -> None:
    call = named(recorded)
    messages = [entry.octets for entry in call.entries if entry.medium is Medium.SIP]
    byes = [octets for octets in messages if octets.startswith(b"BYE")]
    assert byes and all(
        (b"\r\nRoute:" in octets) is call.header.sending or b"Record-Route" not in octets for octets in byes
    )
    assert any(b"\r\nRecord-Route:" in octets for octets in messages)
    assert {call.header.number, call.header.caller} <= {AUDIO_ONLY, RECEIVER, CALLER}
