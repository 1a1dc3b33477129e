"""T.30 frames in words (ITU-T T.30 sections 5.3.6 and A.4)."""

from __future__ import annotations

import pytest

from faxgw.line.ladder import describe_frame


@pytest.mark.parametrize(
    "frame, words",
    [
        (
            "ff138000cef8c4",
            "DIS takes up to 9600 bit/s (V.27ter, V.29), standard/fine, MH/MR/MMR, error correction, A4 wide, "
            "any length",
        ),
        ("ff13800000f844", "DIS cannot receive"),
        ("ffc8820046f844", "DCS pages come by V.29 at 9600 bit/s, fine (204x196), MMR, error correction"),
        ("ffc8820002f8", "DCS pages come by V.27ter at 2400 bit/s, standard (204x98), MH, no error correction"),
        ("ffc884", "CFR ready for the page"),
        ("ffc885", "CFR ready for the page"),
        ("ffc8be2e020045", "PPS-EOP end of the last page; page 3, block 1: 70 frames"),
        ("ffc8be00000000", "PPS-NULL end of a block, the page goes on; page 1, block 1: 1 frames"),
        ("ffc8be4e", "PPS-MPS end of the page, another follows"),
        ("ffc8bc" + "0f" + "00" * 30 + "80", "PPR asks for 5 frames again"),
        ("ffc84c", "RTN refused, train again"),
        ("ffc8fa", "DCN goodbye"),
        ("ff1340" + b"10 33+".ljust(20).hex(), 'CSI "+33 01"'),
        ("ffc877", "0x77"),
        ("ff", "short frame"),
    ],
)
def test_a_frame_says_what_it_says(frame: str, words: str) -> None:
    assert describe_frame(bytes.fromhex(frame)) == words
