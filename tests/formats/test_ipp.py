"""IPP messages, octet by octet, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.formats import ipp
from faxgw.formats.ipp import Attribute, BadIpp, Operation, Tag, read, request


def test_a_request_is_written_as_the_rfc_shows_it() -> None:
    """RFC 8010 appendix A.1, with our fields."""
    made = request(
        Operation.PRINT_JOB, 1, "ipp://printer/x", "u",
        [Attribute("job-name", Tag.NAME, ("fax",))], [Attribute("copies", Tag.INTEGER, (2,))],
    )  # fmt: skip
    assert made.startswith(b"\x02\x00\x00\x02\x00\x00\x00\x01\x01\x47\x00\x12attributes-charset\x00\x05utf-8")
    assert b"\x45\x00\x0bprinter-uri\x00\x0fipp://printer/x" in made
    assert made.endswith(b"\x42\x00\x08job-name\x00\x03fax\x02\x21\x00\x06copies\x00\x04\x00\x00\x00\x02\x03")


def test_further_values_have_no_name_and_are_read_back() -> None:
    made = request(
        Operation.GET_JOBS, 7, "ipp://p/", "u",
        [
            Attribute("requested-attributes", Tag.KEYWORD, ("job-id", "job-name")),
            Attribute("my-jobs", Tag.BOOLEAN, (True,)),
        ],
    )  # fmt: skip
    found = read(made).first(ipp.OPERATION)
    assert found["requested-attributes"] == ("job-id", "job-name")
    assert found["my-jobs"] == (True,)


@given(st.binary(max_size=300))
def test_garbage_is_no_message_and_nothing_worse(octets: bytes) -> None:
    try:
        read(octets)
    except BadIpp:
        return


@pytest.mark.parametrize("octets", [b"", b"\x02\x00\x00\x00\x00\x00\x00\x01", b"\x02\x00\x00\x00\x00\x00\x00\x01\x21"])
def test_what_is_cut_off_is_told(octets: bytes) -> None:
    with pytest.raises(BadIpp):
        read(octets)
