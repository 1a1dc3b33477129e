"""Media of ours go to one host: not to a group, and not to nowhere (RFC 3264 section 8.4)."""

from __future__ import annotations

import pytest

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.sdp import SessionDescription
from tests.hostile.invites import AUDIO, T38


@pytest.mark.parametrize("lines", [AUDIO, T38])
@pytest.mark.parametrize("kind", ["IP4 0.0.0.0", "IP4 224.0.0.1", "IP4 239.255.255.250", "IP4 255.255.255.255"])
def test_a_group_of_hosts_is_no_address_for_media(lines: tuple[str, ...], kind: str) -> None:
    text = "\r\n".join((*lines, "")).format(media="192.0.2.1", port=4000).replace("IP4 192.0.2.1", kind)
    sdp = SessionDescription.parse(text.encode())
    with pytest.raises(RemoteProtocolError) as caught:
        sdp.address_of(sdp.media[0])
    assert caught.value.status == 488


@pytest.mark.parametrize("kind", ["IP6 ff02::1", "IP6 ::0", "IP6 0::"])
def test_nor_is_one_of_ipv6(kind: str) -> None:
    text = "\r\n".join((*AUDIO, "")).format(media="192.0.2.1", port=4000).replace("IP4 192.0.2.1", kind)
    sdp = SessionDescription.parse(text.encode())
    with pytest.raises(RemoteProtocolError):
        sdp.address_of(sdp.media[0])


def test_a_bracketed_literal_is_read() -> None:
    text = "\r\n".join((*AUDIO, "")).format(media="192.0.2.1", port=4000).replace("IP4 192.0.2.1", "IP6 [2001:db8::1]")
    sdp = SessionDescription.parse(text.encode())
    assert sdp.address_of(sdp.media[0])[1] == 4000
