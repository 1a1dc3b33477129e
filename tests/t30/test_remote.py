"""Symmetric media: what is latched onto, and what a stranger cannot do (RFC 4961)."""

from __future__ import annotations

import pytest

from faxgw.foip.control import Address
from faxgw.t30.remote import LATCH_AFTER, Remote

STATED = ("192.168.1.9", 4000)
PUBLIC = ("8.8.4.4", 4000)
NATTED = ("8.8.8.8", 61234)
STRANGER = ("9.9.9.9", 5555)


def packets(remote: Remote, source: Address, count: int = LATCH_AFTER, valid: bool = True) -> list[bool]:
    return [remote.admits(source, lambda: valid) for _ in range(count)]


def test_the_stated_address_is_taken_at_once() -> None:
    remote = Remote(PUBLIC)
    assert packets(remote, PUBLIC) == [True] * LATCH_AFTER
    assert (remote.address, remote.settled, remote.foreign) == (PUBLIC, True, 0)


def test_a_public_source_takes_the_place_of_a_private_address() -> None:
    remote = Remote(STATED)
    assert packets(remote, NATTED) == [False] * (LATCH_AFTER - 1) + [True]
    assert (remote.address, remote.foreign) == (NATTED, LATCH_AFTER - 1)


def test_another_port_of_the_stated_host_is_heard_at_once_and_answered_soon() -> None:
    remote = Remote(PUBLIC)
    assert packets(remote, (PUBLIC[0], 7)) == [True] * LATCH_AFTER
    assert (remote.address, remote.foreign) == ((PUBLIC[0], 7), 0)


@pytest.mark.parametrize(
    ("stated", "signalling", "nat", "latched"),
    [
        (PUBLIC, "", False, False),
        (PUBLIC, NATTED[0], False, True),
        (PUBLIC, "", True, True),
        (None, "", False, False),
        (None, NATTED[0], False, True),
        (("10.0.0.1", 1), "", False, True),
        (("0.0.0.0", 1), "", False, True),
        (("pbx.invalid", 1), "", False, False),
    ],
)
def test_who_may_be_latched_onto(stated: Address | None, signalling: str, nat: bool, latched: bool) -> None:
    remote = Remote(stated, signalling, nat)
    packets(remote, NATTED)
    assert (remote.address == NATTED) is latched


def test_a_private_stranger_does_not_take_the_place_of_a_private_address() -> None:
    remote = Remote(STATED)
    assert not any(packets(remote, ("192.168.1.66", 4000), 10))
    assert (remote.address, remote.foreign) == (STATED, 10)


def test_an_address_without_a_way_to_it_gives_way() -> None:
    remote = Remote(PUBLIC)
    remote.unreachable()
    packets(remote, NATTED)
    assert remote.address == NATTED


def test_a_stranger_cannot_take_over_a_flow_that_has_begun() -> None:
    remote = Remote(STATED, nat=True)
    packets(remote, STATED, 1)
    assert not any(packets(remote, STRANGER, 50))
    assert (remote.address, remote.foreign) == (STATED, 50)


def test_the_first_one_latched_stays() -> None:
    remote = Remote(STATED, nat=True)
    packets(remote, NATTED)
    assert not any(packets(remote, STRANGER, 50))
    assert packets(remote, NATTED, 1) == [True]
    assert remote.address == NATTED


def test_what_is_no_media_is_no_reason() -> None:
    remote = Remote(STATED, nat=True)
    packets(remote, STRANGER, 50, valid=False)
    assert remote.address == STATED
    packets(remote, STATED, 3, valid=False)
    assert not remote.settled


def test_two_sources_that_alternate_are_not_believed() -> None:
    remote = Remote(STATED, nat=True)
    for _ in range(20):
        packets(remote, STRANGER, 1)
        packets(remote, NATTED, 1)
    assert remote.address == STATED


def test_the_same_sdp_again_keeps_the_latch_and_another_one_ends_it() -> None:
    remote = Remote(STATED)
    packets(remote, NATTED)
    remote.move(STATED)
    assert remote.address == NATTED
    remote.move(PUBLIC)
    assert (remote.address, remote.settled) == (PUBLIC, False)
