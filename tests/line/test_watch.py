"""The live view, read off T.30 frames (ITU-T T.30 section 5.3)."""

from __future__ import annotations

from faxgw.foip.control import Statistics
from faxgw.line.watch import Watch

DCS = bytes.fromhex("ffc8820046f844")
CSI = bytes.fromhex("ff1340") + b"10000099133+".ljust(20)
OUR_TSI = bytes.fromhex("ffc842") + b"1 33+".ljust(20)
FTT, RTN, PPR, MCF = (bytes.fromhex(f"ffc8{code}") for code in ("44", "4c", "bc00", "8c"))


def test_dcs_says_how_the_pages_come() -> None:
    watch = Watch(sending=True)
    watch.see([(1.0, "<", CSI), (1.5, ">", OUR_TSI), (2.0, ">", DCS)])
    shown = watch.progress()
    assert (shown.modem, shown.bit_rate, shown.ecm, shown.encoding, shown.resolution) == (
        "V.29", 9600, True, "MMR", "204x196",
    )  # fmt: skip
    assert shown.remote_ident == "+33199000001"
    assert shown.transport == "g711", "nobody spoke of T.38"


def test_what_is_asked_for_again_counts_as_a_retry() -> None:
    watch = Watch(sending=True)
    watch.see([(float(at), "<", frame) for at, frame in enumerate((FTT, MCF, RTN, PPR))])
    assert watch.progress().retries == 3


def test_the_engine_knows_better_than_the_frames() -> None:
    watch = Watch(sending=True)
    watch.see([(2.0, ">", DCS)])
    watch.count(Statistics("t38", 7200, False, "MR", packets_lost=2, packets_recovered=5))
    shown = watch.progress()
    assert (shown.transport, shown.bit_rate, shown.ecm, shown.encoding) == ("t38", 7200, False, "MR")
    assert (shown.packets_lost, shown.packets_recovered) == (2, 5)


def test_a_dcs_that_is_too_short_changes_nothing() -> None:
    watch = Watch(sending=False)
    watch.see([(1.0, "<", DCS[:4])])
    assert watch.progress().bit_rate == 0


def test_the_page_that_comes_in_is_known_before_it_is_whole() -> None:
    """CFR lets page 1 come, MCF after MPS or PPS-MPS the next one; after EOP, and within a page, none."""
    watch = Watch(sending=False)
    seen = []
    for way, frame in [
        ("<", DCS), (">", bytes.fromhex("ffc884")), ("<", bytes.fromhex("ffc84e")), (">", MCF),
        ("<", bytes.fromhex("ffc8be00010045")), (">", MCF), ("<", bytes.fromhex("ffc8be4e010145")), (">", MCF),
        ("<", bytes.fromhex("ffc82e")), (">", MCF),
    ]:  # fmt: skip
        watch.see([(1.0, way, frame)])
        seen.append(watch.progress().page)
    assert seen == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    assert watch.progress().phase == "page"
