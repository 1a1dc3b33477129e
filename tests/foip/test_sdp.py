"""Session descriptions: the field's spellings, answers that mirror, round trips."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.sdp import (
    LARGEST_DATAGRAM,
    PCMA,
    PCMU,
    ErrorCorrection,
    MediaLine,
    Origin,
    SessionDescription,
    T38Parameters,
    answer,
    answer_audio,
    answer_t38,
    audio_line,
    offer,
    same_media,
    t38_line,
)

OURS = Origin(77, 1, "127.0.0.1")

ASTERISK_T38 = b"""v=0
o=- 1234 6 IN IP4 127.0.0.2
s=Asterisk
c=IN IP4 127.0.0.2
t=0 0
m=image 20334 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxDatagram:849
a=T38FaxUdpEC:t38UDPFEC
"""
AUDIO = b"""v=0\r
o=user 5 9 IN IP4 192.0.2.1\r
s=call\r
t=0 0\r
m=audio 4000/1 RTP/AVP 18 0 8 101\r
c=IN IP4 192.0.2.7\r
a=rtpmap:101 telephone-event/8000\r
a=sendonly\r
"""


def test_an_offer_of_audio_is_written_and_read_back() -> None:
    description = offer(OURS, audio_line(30000))
    assert description.to_bytes() == (
        b"v=0\r\no=- 77 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 0\r\n"
        b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    assert SessionDescription.parse(description.to_bytes()) == description


def test_an_offer_of_t38_is_what_the_rule_says() -> None:
    """transport.md D.3 rule 7: MaxDatagram 400 or more, redundancy, version 0, 14400, transferredTCF."""
    description = SessionDescription.parse(offer(OURS, t38_line(30002)).to_bytes())
    assert description.t38 is not None
    assert T38Parameters.parse(description.t38) == T38Parameters(
        14400, 400, ErrorCorrection.REDUNDANCY, 0, "transferredTCF", 2000
    )
    assert description.address_of(description.t38) == ("127.0.0.1", 30002)


def test_the_first_payload_type_of_the_line_that_we_know_is_used() -> None:
    """RFC 3264 section 7: the offerer sends in the first format of the answer, whatever it would have liked better."""
    assert audio_line(40000, (PCMU, PCMA)).payload_type((PCMA, PCMU)) == PCMU
    assert replace(audio_line(40000), formats=("9", "0", "8")).payload_type((PCMA, PCMU)) == PCMU
    assert replace(audio_line(40000), formats=("9", "18")).payload_type() is None


def test_a_media_level_address_wins() -> None:
    description = SessionDescription.parse(AUDIO)
    assert description.audio is not None
    assert description.address_of(description.audio) == ("192.0.2.7", 4000)
    assert description.origin.version == 9
    assert description.audio.payload_type() == PCMU
    assert description.audio.payload_type((PCMA,)) == PCMA


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters()),
        ([("t38faxudpec", "T38UDPREDUNDANCY"), ("t38maxBitrate", "9600")], T38Parameters(max_bit_rate=9600)),
        ([("T38UdpEC", "t38UDPFEC")], T38Parameters(error_correction=ErrorCorrection.FEC)),
        ([], T38Parameters(error_correction=ErrorCorrection.NONE)),
        ([("T38FaxUdpEC", "t38UDPNoEC")], T38Parameters(error_correction=ErrorCorrection.NONE)),
        ([("T38FaxFillBitRemoval", None), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(fill_bit_removal=True)),
        ([("T38FaxFillBitRemoval", "0"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters()),
        ([("T38FaxTranscodingMMR", "1"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(transcoding_mmr=True)),
        ([("T38MaxDatagram", "72"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_datagram=72)),
        ([("T38FaxMaxDatagram", "3"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_datagram=64)),
        ([("T38FaxVersion", "3"), ("T38MaxBitRate", "33600"), ("T38FaxUdpEC", "t38UDPRedundancy")],
         T38Parameters(version=3, max_bit_rate=33600)),
        ([("T38FaxMaxDatagram", "lots"), ("T38MaxBitRate", ""), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters()),
        ([("T38FaxMaxBitRate", "9600"), ("T38FaxUdpEC", "UDPRedundancy")], T38Parameters(max_bit_rate=9600)),
        ([("T38maxBitRate", "14400 bit/s"), ("T38FaxUdpEC", "UDPFEC")],
         T38Parameters(error_correction=ErrorCorrection.FEC)),
        ([("T38FaxUdpEC", "t38UDPFEC"), ("T38FaxUdpEC", "t38UDPRedundancy")],
         T38Parameters(error_correction=ErrorCorrection.FEC)),
        ([("T38FaxUdpEC", None)], T38Parameters(error_correction=ErrorCorrection.NONE)),
        ([("T38FaxFillBitRemoval", "1"), ("T38FaxTranscodingMMR", None), ("T38FaxTranscodingJBIG", "0"),
          ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(fill_bit_removal=True, transcoding_mmr=True)),
        ([("T38FaxFillBitRemoval", "no"), ("T38FaxTranscodingJBIG", None), ("T38FaxUdpEC", "t38UDPRedundancy")],
         T38Parameters(transcoding_jbig=True)),
        ([("T38FaxMaxBuffer", "72"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_buffer=72)),
        ([("T38MaxBuffer", "200"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_buffer=200)),
        ([("T38FaxMaxBufferSize", "1024"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_buffer=1024)),
        ([("T38FaxBufferSize", "1024"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_buffer=1024)),
        ([("T38FaxMaxDatagramSize", "238"), ("T38FaxUdpEC", "t38UDPRedundancy")], T38Parameters(max_datagram=238)),
        ([("T38VendorInfo", "0 0 0"), ("T38FaxMaxIFP", "40"), ("T38FaxUdpEC", "t38UDPRedundancy")],
         T38Parameters(vendor="0 0 0", max_ifp=40)),
        ([("T38FaxRateManagement", "localTCF"), ("T38FaxUdpEC", "t38UDPRedundancy")],
         T38Parameters(rate_management="localTCF")),
    ],
)  # fmt: skip
def test_t38_attributes_are_read_as_the_field_writes_them(
    attributes: list[tuple[str, str | None]], expected: T38Parameters
) -> None:
    """transport.md D.3 rule 6."""
    assert T38Parameters.parse(MediaLine("image", 1, "udptl", ("t38",), attributes=tuple(attributes))) == expected


def test_a_t38_offer_is_answered_in_kind() -> None:
    offered = SessionDescription.parse(ASTERISK_T38)
    made = answer_t38(offered, OURS, 30002)
    assert made is not None and made.t38 is not None
    assert made.t38.port == 30002
    assert T38Parameters.parse(made.t38) == T38Parameters(error_correction=ErrorCorrection.FEC)
    without = SessionDescription.parse(
        ASTERISK_T38.replace(b"a=T38FaxUdpEC:t38UDPFEC\n", b"").replace(b"14400", b"9600")
    )
    made = answer_t38(without, OURS, 30002)
    assert made is not None and b"T38FaxUdpEC" not in made.to_bytes() and b"T38MaxBitRate:9600" in made.to_bytes()


def test_an_answer_mirrors_the_offer_line_by_line() -> None:
    """transport.md D.1, last line: one m= line too many or too few and the call is lost."""
    offered = SessionDescription.parse(
        AUDIO + b"m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\nm=video 1 RTP/AVP 31\r\n"
    )
    made = answer_t38(offered, OURS, 30002)
    assert made is not None
    assert [(line.media, line.port) for line in made.media] == [("audio", 0), ("image", 30002), ("video", 0)]
    audio = answer_audio(offered, OURS, 30000)
    assert audio is not None and audio.audio is not None
    assert [(line.media, line.port, line.formats) for line in audio.media] == [
        ("audio", 30000, ("0",)),
        ("image", 0, ("t38",)),
        ("video", 0, ("31",)),
    ]
    assert audio.audio.attribute("recvonly") == ""
    assert SessionDescription.parse(audio.to_bytes()).media == audio.media


def test_what_was_not_offered_is_not_accepted() -> None:
    offered = SessionDescription.parse(AUDIO)
    assert answer_t38(offered, OURS, 1) is None
    assert answer_audio(SessionDescription.parse(ASTERISK_T38), OURS, 1) is None
    assert answer_audio(SessionDescription.parse(AUDIO.replace(b"18 0 8 101", b"18")), OURS, 1) is None
    with pytest.raises(LocalProtocolError):
        answer(offered, OURS, {0: t38_line(1)})
    with pytest.raises(LocalProtocolError):
        answer(offered, OURS, {1: t38_line(1)})


def test_t38_attributes_of_the_session_count_unless_the_line_has_its_own() -> None:
    text = b"a=T38MaxBitRate:9600\na=T38FaxUdpEC:t38UDPFEC\nm=image 4 udptl t38\na=T38MaxBitRate:4800\n"
    offered = SessionDescription.parse(text)
    assert offered.t38 is not None
    read = T38Parameters.parse(offered.t38, offered.attributes)
    assert (read.max_bit_rate, read.error_correction) == (4800, ErrorCorrection.FEC)


@pytest.mark.parametrize("version", ["0", "1", "2", "3", "9"])
def test_every_version_offered_is_answered_with_version_0(version: str) -> None:
    """ITU-T T.38 annex D: the answer has the lower version; RFC 3264 mirrors nothing but the line."""
    offered = SessionDescription.parse(ASTERISK_T38.replace(b"FaxVersion:0", b"FaxVersion:" + version.encode()))
    made = answer_t38(offered, OURS, 30002)
    assert made is not None and made.t38 is not None
    assert made.t38.attribute("T38FaxVersion") == "0"
    assert made.t38.attribute("T38FaxRateManagement") == "transferredTCF"


@pytest.mark.parametrize(
    ("attributes", "rate"),
    [
        ([], 14400),
        ([("T38MaxBitRate", "9600")], 9600),
        ([("T38MaxBitRate", "33600")], 33600),
        ([("T38FaxMaxIFP", "59")], 14400),
        ([("T38FaxMaxIFP", "41")], 9600),
        ([("T38FaxMaxIFP", "23"), ("T38MaxBitRate", "9600")], 4800),
        ([("T38FaxMaxIFP", "1")], 0),
    ],
)
def test_the_usable_bit_rate_keeps_to_both_limits(attributes: list[tuple[str, str | None]], rate: int) -> None:
    line = MediaLine("image", 1, "udptl", ("t38",), attributes=tuple(attributes))
    assert T38Parameters.parse(line).usable_bit_rate == rate


def test_a_datagram_is_fragmented_on_no_path_whatever_the_peer_would_take() -> None:
    line = MediaLine("image", 1, "udptl", ("t38",), attributes=(("T38FaxMaxDatagram", "65535"),))
    assert T38Parameters.parse(line).usable_datagram == LARGEST_DATAGRAM
    assert T38Parameters(max_datagram=238).usable_datagram == 238


@pytest.mark.parametrize(
    "line",
    [
        "image 4000 TCP t38",
        "image 4000 tcp/tptk t38",
        "image 4000 UDPTL/SRTP t38",
        "image 4000 UDP/TLS/UDPTL t38",
        "image 4000 RTP/AVP 98",
        "image 4000 udptl g3fax",
        "image 0 udptl t38",
        "audio 4000 RTP/SAVP 0 8",
        "audio 4000 UDP/TLS/RTP/SAVPF 0 8",
        "audio 4000 RTP/AVP 18 101",
        "video 4000 RTP/AVP 31",
    ],
)
def test_a_line_of_no_use_is_refused_by_itself(line: str) -> None:
    """RFC 3264 section 6: port 0 for that line, and the others as if it were not there."""
    for place in (0, 1):
        lines = [line, "image 5000 UDPTL T38"]
        text = "v=0\nc=IN IP4 192.0.2.1\n" + "".join(f"m={entry}\n" for entry in (lines if place == 0 else lines[::-1]))
        offered = SessionDescription.parse(text.encode())
        made = answer_t38(offered, OURS, 30002)
        assert made is not None
        mirrored = SessionDescription.parse(made.to_bytes())
        kind, _port, proto, *formats = line.split()
        refused = mirrored.media[place]
        assert (refused.media, refused.port, refused.proto, refused.formats) == (kind, 0, proto, tuple(formats[:1]))
        accepted = mirrored.media[1 - place]
        assert (accepted.port, accepted.proto, accepted.formats) == (30002, "UDPTL", ("t38",))


@given(st.permutations(["audio 4000 RTP/AVP 8 101", "image 5000 udptl t38", "video 1 RTP/AVP 31", "audio 6 RTP/SAVP 0",
                        "image 0 udptl t38", "application 9 TCP/BFCP *"]))  # fmt: skip
def test_lines_in_any_order_are_mirrored_one_by_one(lines: list[str]) -> None:
    offered = SessionDescription.parse(("c=IN IP4 192.0.2.1\n" + "".join(f"m={line}\n" for line in lines)).encode())
    for made, kind, port in ((answer_t38(offered, OURS, 2), "image", 2), (answer_audio(offered, OURS, 4), "audio", 4)):
        assert made is not None
        assert [line.media for line in made.media] == [line.split()[0] for line in lines]
        (taken,) = (line for line in made.media if line.port)
        assert (taken.media, taken.port) == (kind, port)
    assert offered.t38_first == (lines.index("image 5000 udptl t38") < lines.index("audio 4000 RTP/AVP 8 101"))


def test_telephone_events_and_packet_times_are_read_over() -> None:
    text = AUDIO + b"a=ptime:30\r\na=maxptime:150\r\na=fmtp:101 0-15\r\na=cpar: a=T38FaxVersion:0\r\n"
    made = answer_audio(SessionDescription.parse(text), OURS, 30000)
    assert made is not None and made.audio is not None
    assert made.audio.formats == ("0",)
    assert made.audio.attribute("ptime") == "20"
    assert b"telephone-event" not in made.to_bytes()


@pytest.mark.parametrize(
    ("media", "session", "direction", "answered", "held"),
    [
        ("", "", "sendrecv", "sendrecv", False),
        ("a=sendonly\n", "", "sendonly", "recvonly", True),
        ("a=inactive\n", "", "inactive", "inactive", True),
        ("a=recvonly\n", "", "recvonly", "sendonly", False),
        ("", "a=sendonly\n", "sendonly", "recvonly", True),
        ("a=sendrecv\n", "a=inactive\n", "sendrecv", "sendrecv", False),
        ("c=IN IP4 0.0.0.0\n", "", "sendrecv", "sendrecv", True),
        ("c=IN IP6 ::\n", "", "sendrecv", "sendrecv", True),
    ],
)
def test_a_hold_is_seen_and_answered(media: str, session: str, direction: str, answered: str, held: bool) -> None:
    """RFC 3264 sections 6.1 and 8.4; c=0.0.0.0 is how RFC 2543 put it."""
    for line in ("audio 4000 RTP/AVP 8", "image 4000 udptl t38"):
        offered = SessionDescription.parse(f"c=IN IP4 192.0.2.1\n{session}m={line}\n{media}".encode())
        (theirs,) = offered.media
        assert (offered.direction_of(theirs), offered.is_held(theirs)) == (direction, held)
        made = answer_audio(offered, OURS, 30000) or answer_t38(offered, OURS, 30000)
        assert made is not None
        assert made.direction_of(made.media[0]) == answered
        if "c=" in media:
            with pytest.raises(RemoteProtocolError):
                offered.address_of(theirs)


def test_a_media_line_of_ipv6_has_its_address() -> None:
    offered = SessionDescription.parse(b"m=image 4000/1 udptl t38\nc=IN IP6 2001:db8::7/64\n")
    assert offered.t38 is not None
    assert offered.address_of(offered.t38) == ("2001:db8::7", 4000)


def test_a_rejected_line_is_no_media() -> None:
    """transport.md D.3 rule 4: `m=image 0` at the end of a call."""
    description = SessionDescription.parse(ASTERISK_T38.replace(b"20334", b"0"))
    assert description.t38 is None
    assert description.audio is None


def test_a_repeated_offer_is_recognised_whatever_its_version() -> None:
    """transport.md D.2: Asterisk repeats its T.38 re-INVITE in mid-fax."""
    first = SessionDescription.parse(ASTERISK_T38)
    again = SessionDescription.parse(ASTERISK_T38.replace(b"1234 6", b"1234 7").replace(b"849", b"400"))
    assert same_media(first, again)
    assert not same_media(first, SessionDescription.parse(ASTERISK_T38.replace(b"20334", b"20336")))
    assert not same_media(first, SessionDescription.parse(AUDIO))
    held = SessionDescription.parse(AUDIO.replace(b"sendonly", b"inactive"))
    assert not same_media(SessionDescription.parse(AUDIO), held)
    rejected = ASTERISK_T38 + b"m=audio 0 RTP/AVP 0\n"
    assert not same_media(first, SessionDescription.parse(rejected)), "another line: the old answer does not mirror it"
    assert same_media(*(SessionDescription.parse(rejected + tail) for tail in (b"", b"c=IN IP4 192.0.2.9\n")))


def test_the_next_version_rises() -> None:
    assert OURS.next() == Origin(77, 2, "127.0.0.1")


def test_an_ipv6_session_says_so() -> None:
    text = offer(Origin(1, 1, "2001:db8::1"), audio_line(4)).to_bytes()
    assert b"c=IN IP6 2001:db8::1\r\n" in text
    assert SessionDescription.parse(text).connection == "2001:db8::1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (b"m=audio", 400),
        (b"m=audio 99999 RTP/AVP 0", 400),
        (b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * 17, 400),
        (b"m=audio 1 RTP/AVP 0\r\n" + b"a=x\r\n" * 300, 400),
        (b"v" * 20_000, 413),
    ],
)
def test_what_is_no_description_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        SessionDescription.parse(body)
    assert caught.value.status == status


def test_a_line_without_a_usable_address_is_refused() -> None:
    for text in (b"m=audio 4 RTP/AVP 0\n", b"c=IN IP4 media.example.com\nm=audio 4 RTP/AVP 0\n"):
        description = SessionDescription.parse(text)
        assert description.audio is not None
        with pytest.raises(RemoteProtocolError) as caught:
            description.address_of(description.audio)
        assert caught.value.status == 488


def test_no_value_of_ours_can_smuggle_a_line() -> None:
    with pytest.raises(LocalProtocolError):
        SessionDescription(OURS, (), "127.0.0.1", name="x\r\nm=audio").to_bytes()
    with pytest.raises(LocalProtocolError):
        SessionDescription(OURS, (audio_line(4),)).to_bytes()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"m=audio 1 RTP/AVP 0",
                b"m=image 1 udptl t38",
                b"c=IN IP4 1.2.3.4",
                b"a=T38FaxUdpEC:",
                b"a=T38FaxMaxIFP:7",
                b"a=T38MaxBitRate:9999999999",
                b"a=sendonly",
                b"m=image 1 TCP t38",
                b"m=audio 0 RTP/AVP 8",
                b"c=IN IP6 ::",
                b"=",
                b"o=",
                b"\xff",
            ]
        )
        | st.binary(max_size=30),
        max_size=20,
    )
)
def test_any_octets_are_accepted_or_refused(lines: list[bytes]) -> None:
    with contextlib.suppress(RemoteProtocolError):
        description = SessionDescription.parse(b"\r\n".join(lines))
        for line in description.media:
            assert T38Parameters.parse(line, description.attributes).usable_bit_rate >= 0
            description.is_held(line)
            with contextlib.suppress(RemoteProtocolError):
                description.address_of(line)
        for made in (answer_t38(description, OURS, 4), answer_audio(description, OURS, 4)):
            if made is not None:
                assert len(SessionDescription.parse(made.to_bytes()).media) == len(description.media)
        assert same_media(description, description)
