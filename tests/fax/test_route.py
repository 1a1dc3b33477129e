"""Which trunk carries a fax: longest prefix, order, cost, failover (features D9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax import route as module
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.route import Hold, Route, Why, blames_trunk, hold, in_turn, just_failed, ways

FAR = "+33199000001"
TRUNKS = ("a", "b", "c")


def names(number: str = FAR, routes: tuple[Route, ...] = (), named: tuple[str, ...] = ()) -> list[str]:
    return [way.trunk for way in ways(number, TRUNKS, routes, named)]


@pytest.mark.parametrize(
    "routes, expected",
    [
        ((), ["a", "b", "c"]),
        ((Route("b", "+33", 0.02),), ["b", "a", "c"]),
        ((Route("b", "+49", 0.02),), ["a", "c"]),
        ((Route("a", "+", 0.03), Route("b", "+33", 0.02), Route("c", "+33", 0.01)), ["c", "b", "a"]),
        ((Route("a", "+", 0.03, order=1), Route("b", "+33", 0.02), Route("c", "+33", 0.01)), ["a", "c", "b"]),
        ((Route("a", "+", 0.01), Route("a", "+331", 0.09), Route("b", "+", 0.05)), ["b", "a", "c"]),
        ((Route("a", "+", 0.01), Route("a", "+331", carry=False)), ["b", "c"]),
        ((Route("a", "+"), Route("b", "+")), ["a", "b", "c"]),
    ],
)
def test_the_order_of_the_trunks(routes: tuple[Route, ...], expected: list[str]) -> None:
    assert names(routes=routes) == expected


def test_what_the_account_names_is_tried_in_its_order_whatever_the_routes_say() -> None:
    routes = (Route("a", "+49", 0.01), Route("c", "+", 0.02, carry=False))
    assert names(routes=routes, named=("c", "a", "c")) == ["c", "a"]
    assert {way.why for way in ways(FAR, TRUNKS, routes, ("c",))} == {Why.ACCOUNT}


prefixes = st.text("0123456789", max_size=6).map(lambda digits: "+" + digits)
orders, costs, carried = st.integers(0, 3), st.floats(0, 9), st.sampled_from([True, True, False])
some_routes = st.lists(st.builds(Route, st.sampled_from(TRUNKS), prefixes, costs, orders, carried), max_size=12)


@given(st.text("0123456789", min_size=4, max_size=12).map(lambda digits: "+" + digits), some_routes)
def test_longest_prefix_then_order_then_cost(number: str, routes: list[Route]) -> None:
    found = ways(number, TRUNKS, routes)
    for way in found:
        of_trunk = [route for route in routes if route.trunk == way.trunk]
        if way.route is None:
            assert of_trunk == []
            continue
        assert way.route.carry and number.startswith(way.route.prefix)
        fitting = [route for route in of_trunk if number.startswith(route.prefix)]
        assert len(way.route.prefix) == max(len(route.prefix) for route in fitting)
    keys = [(way.route.order, way.route.cost) for way in found if way.route is not None]
    assert keys == sorted(keys)
    assert [way.why for way in found] == sorted(way.why for way in found)  # routed ones before the others
    assert len({way.trunk for way in found}) == len(found)


@given(
    some_routes, st.sets(st.sampled_from(TRUNKS)), st.dictionaries(st.sampled_from(TRUNKS), st.floats(0, 200)),
    st.dictionaries(st.sampled_from(TRUNKS), st.integers(-1, 2)),
)  # fmt: skip
def test_nothing_that_fails_takes_a_way_out_of_the_choice(
    routes: list[Route], failed: set[str], held: dict[str, float], free: dict[str, int]
) -> None:
    found = ways(FAR, TRUNKS, routes)
    turn = in_turn(found, failed=failed, held=held, free=free, now=100.0)
    assert {way.trunk for way in turn} == {way.trunk for way in found}
    works = [not (way.failed or way.held_until or (way.full and way.why is Why.ROUTE)) for way in turn]
    assert works == sorted(works, reverse=True)
    order = [way.trunk for way in found]
    good = [way.trunk for way, good in zip(turn, works, strict=True) if good]
    assert good == [trunk for trunk in order if trunk in good]


def test_a_full_trunk_comes_after_a_held_one_and_that_after_a_failed_one() -> None:
    found = ways(FAR, TRUNKS, (), ("a", "b", "c"))
    turn = in_turn(found, failed=["b"], held={"c": 130.0}, free={"a": 0, "b": 1, "c": 1}, now=100.0)
    assert [way.trunk for way in turn] == ["c", "b", "a"]
    assert in_turn(found, held={"a": 99.0}, now=100.0)[0].ready


def test_without_routes_the_next_trunk_steps_in_for_one_that_fails_not_for_one_that_is_full() -> None:
    found = ways(FAR, TRUNKS, ())
    assert [way.trunk for way in in_turn(found, free={"a": 0, "b": 1, "c": 1})] == ["a", "b", "c"]
    assert [way.trunk for way in in_turn(found, failed=["a"], free={"a": 0, "b": 1, "c": 1})] == ["b", "c", "a"]


CF, OK, BUSY = Cause.CARRIER_FAULT, Cause.OK, Cause.BUSY


@pytest.mark.parametrize(
    "tried, expected",
    [
        ([], set()),
        ([("a", CF)], {"a"}),
        ([("a", CF), ("b", CF)], {"a", "b"}),
        ([("a", CF), ("b", CF), ("c", CF)], set()),
        ([("a", CF), ("b", CF), ("c", CF), ("a", CF)], {"a"}),
        ([("a", CF), ("b", BUSY)], set()),
        ([("a", BUSY), ("b", Cause.NO_ROUTE)], {"b"}),
    ],
)
def test_a_fax_goes_round_the_trunks(tried: list[tuple[str, Cause]], expected: set[str]) -> None:
    assert just_failed(tried, TRUNKS) == expected


@pytest.mark.parametrize(
    "outcome, blamed",
    [
        (Outcome(CF, sip_status=503), True),
        (Outcome(CF, sip_status=500), True),
        (Outcome(CF, detail="not resolved"), True),
        (Outcome(CF, sip_status=408), True),
        (Outcome(CF, sip_status=403), False),
        (Outcome(CF, sip_status=503, q850=3), False),
        (Outcome(CF, sip_status=500, q850=34), True),
        (Outcome(BUSY, sip_status=486), False),
        (Outcome(Cause.NO_ROUTE), True),
        (Outcome(CF, connected=True), False),
    ],
)
def test_which_ends_are_the_trunks_fault(outcome: Outcome, blamed: bool) -> None:
    assert blames_trunk(outcome) is blamed


def test_a_trunk_is_held_longer_with_each_fault_and_good_again_after_a_call() -> None:
    fault = Outcome(CF, sip_status=503, detail="SIP 503 out of channels")
    first = hold(None, fault, now=100.0)
    assert first == Hold(1, 100.0 + module.HOLD, "SIP 503 out of channels")
    second = hold(first, fault, now=200.0)
    assert second is not None and second.until == 200.0 + 2 * module.HOLD
    for _ in range(20):
        second = hold(second, fault, now=300.0)
    assert second is not None and second.until == 300.0 + module.MAX_HOLD
    assert hold(second, Outcome(Cause.LINE_FAULT), now=400.0) == second
    assert hold(second, Outcome(BUSY, sip_status=486), now=400.0) is None


def test_a_retry_after_is_respected() -> None:
    found = hold(None, Outcome(CF, sip_status=503, retry_after=120.0), now=0.0)
    assert found is not None and found.until == 120.0
