"""faxgw.fax.denied: whom a number's lists mean, however its number and name are written."""

from __future__ import annotations

import pytest

from faxgw.fax import denied
from faxgw.fax.account import check_settings


@pytest.mark.parametrize(
    ("pattern", "caller", "forms", "is_denied"),
    [
        ("+49301234", "+49301234", ("+49301234",), True),
        ("+49301234", "00493 01234", ("+49301234",), True),
        ("+4930*", "+49301234", ("+49301234",), True),
        ("+4930*", "+49401234", ("+49401234",), False),
        ("+49301234", "+493012345", ("+493012345",), False),
        ("+4930123?", "+49301234", ("+49301234",), True),
        ("anonymous", "", (), True),
        ("Anonymous", "anonymous", (), True),
        ("anonymous", "+49301234", ("+49301234",), False),
        ("*", "", (), False),
        ("spam*", "SPAMMER", (), True),
        ("+49.0*", "+4930", ("+4930",), False),
    ],
)
def test_callers(pattern: str, caller: str, forms: tuple[str, ...], is_denied: bool) -> None:
    assert bool(denied.by_caller(["+1", pattern], caller, forms)) is is_denied


@pytest.mark.parametrize(
    ("pattern", "ident", "is_denied"),
    [
        ("+49 30 1234", "+49301234", True),
        ("+4930*", "+49 30 99", True),
        ("*promo*", "Best PROMO Ltd", True),
        ("*", "", False),
        ("+4930", "+49 30 99", False),
    ],
)
def test_machines(pattern: str, ident: str, is_denied: bool) -> None:
    assert bool(denied.by_ident([pattern], ident)) is is_denied


def test_a_pattern_costs_little_whatever_it_meets() -> None:
    """The worst that the settings take, on the longest number that a call brings."""
    _, faults = check_settings({"deny_callers": ["*1*1*1*1"]})
    assert faults
    assert not denied.by_caller(["*1*1*1x"], "1" * 160, ("1" * 160,))


@pytest.mark.parametrize("value", ["+49", ["é"], [""], ["x" * 41], ["+1"] * 201, [1]])
def test_lists_that_cannot_be(value: object) -> None:
    _, faults = check_settings({"deny_idents": value})
    assert faults
