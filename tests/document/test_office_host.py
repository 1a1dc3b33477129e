"""The parts of the host that need no LibreOffice."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from faxgw.document.office_host import LEAST, SETTINGS, profile, sheet_layout


def test_the_profile_forbids_macros_and_links() -> None:
    root = ElementTree.fromstring(profile(SETTINGS).encode())
    values = {item[0].attrib["{http://openoffice.org/2001/registry}name"]: item[0][0].text for item in root}
    assert values["MacroSecurityLevel"] == "3"
    assert values["DisableMacrosExecution"] == values["BlockUntrustedRefererLinks"] == "true"


@pytest.mark.parametrize(
    ("used", "layout"),
    [
        (170, (False, 100)),
        (280, (False, 0)),
        (300, (True, 0)),
        (550, (True, 0)),
        (600, (True, round(LEAST * 100))),
    ],
)
def test_a_table_is_shrunk_then_turned_then_cut(used: float, layout: tuple[bool, int]) -> None:
    assert sheet_layout(used, 170, 257) == layout


def test_a_table_that_fits_turned_is_not_shrunk() -> None:
    assert sheet_layout(250, 100, 257) == (True, 100)
