"""IFP packets as on the wire, and the half octets of version 0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.ifp import Data, DataType, Field, FieldType, Indicator, Packet, decode, decode_prefix, describe, encode


@pytest.mark.parametrize(
    ("packet", "octets"),
    [
        (Indicator.NO_SIGNAL, "00"),
        (Indicator.V21_PREAMBLE, "06"),
        (Indicator.V17_14400_LONG_TRAINING, "1e"),
        (Indicator.V8_ANSAM, "2000"),
        (Indicator.V33_14400_TRAINING, "2180"),
        (Data(DataType.V21), "40"),
        (Data(DataType.V21, (Field(FieldType.HDLC_DATA, b"\xff\xc8"),)), "c0 01 80 0001 ffc8"),
        (
            Data(DataType.V17_14400, (Field(FieldType.HDLC_DATA, b"\xff\xc0\x60"), Field(FieldType.HDLC_FCS_OK))),
            "d0 02 80 0002 ffc060 20",
        ),
        (
            Data(DataType.V21, (Field(FieldType.HDLC_FCS_OK), Field(FieldType.HDLC_SIG_END))),
            "c0 02 21",
        ),
        (
            Data(DataType.V29_9600, (Field(FieldType.HDLC_SIG_END), Field(FieldType.T4_NON_ECM_DATA, b"a"))),
            "c8 02 1e 0000 61",
        ),
    ],
)
def test_packets_stand_as_in_the_asn1(packet: Packet, octets: str) -> None:
    assert encode(packet) == bytes.fromhex(octets)
    assert decode(bytes.fromhex(octets)) == packet


FIELDS = st.builds(Field, st.sampled_from(FieldType), st.binary(max_size=80))
PACKETS = st.one_of(
    st.sampled_from(Indicator),
    st.builds(Data, st.sampled_from(DataType), st.lists(FIELDS, max_size=9).map(tuple)),
)


@given(PACKETS, st.binary(max_size=5))
def test_every_packet_survives_and_says_its_length(packet: Packet, padding: bytes) -> None:
    octets = encode(packet)
    assert decode_prefix(octets + padding) == (packet, len(octets))
    assert describe(packet)


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(octets: bytes) -> None:
    try:
        packet = decode(octets)
    except RemoteProtocolError:
        return
    assert decode(encode(packet)) == packet


def test_too_many_or_too_long_fields_are_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        encode(Data(DataType.V21, (Field(FieldType.HDLC_DATA),) * 128))
    with pytest.raises(LocalProtocolError):
        encode(Data(DataType.V21, (Field(FieldType.HDLC_DATA, bytes(65537)),)))


def test_a_packet_in_words() -> None:
    assert describe(Indicator.CED) == "indicator CED"
    packet = Data(DataType.V21, (Field(FieldType.HDLC_DATA, b"abc"), Field(FieldType.HDLC_FCS_OK)))
    assert describe(packet) == "V21 HDLC_DATA(3) HDLC_FCS_OK"
