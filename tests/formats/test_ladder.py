"""A stored trace read for people: transfers, gaps, folding (ITU-T T.30 section 5.3.6 and Annex A.4)."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.formats.ladder import Answer, Kind, Ladder, fold, read, verdict

Rows = list[list[Any]]

CODES = {
    "DIS": "ff138000cef8c4", "DCS": "ffc8820046f844", "CFR": "ffc884", "MCF": "ffc88c", "RTN": "ffc84c",
    "PPR": "ffc8bc", "MPS": "ffc84e", "EOP": "ffc82e", "DCN": "ffc8fa", "CTC": "ffc812", "CTR": "ffc8c4",
    "PPS-MPS": "ffc8be4e000045", "PPS-EOP": "ffc8be2e000045", "PPS-NULL": "ffc8be000000ff",
}  # fmt: skip


def rows(text: str) -> Rows:
    """`at way name [words]` a line; names that are no frames are SIP (`>`, `<`) or notes (`=`)."""
    found: Rows = []
    for line in text.strip().splitlines():
        at, way, words = line.strip().split(" ", 2)
        name = words.split(" ")[0]
        found.append([float(at), way, CODES.get(name, "") if way != "=" else "", words])
    return found


GOOD = """
    0.0 > INVITE, audio
    1.0 < 200 OK to INVITE
    6.0 < DIS takes
    7.0 > DCS pages come
    12.0 < CFR ready
    22.0 > PPS-MPS end; page 1, block 1: 70 frames
    23.0 < MCF confirmed
    23.1 = page 1 confirmed, 900 rows, 17000 octets of MMR
    33.0 > PPS-EOP end
    34.0 < MCF confirmed
    34.1 > DCN goodbye
    36.0 > BYE
"""


def transfers(text: str, first_page: int = 1) -> list[tuple[int, float, float, int, Answer | None]]:
    ladder = read(rows(text), first_page)
    return [(t.page, t.at, round(t.until - t.at, 3), t.octets, t.answer) for t in ladder.transfers]


def test_pages_lie_between_what_let_them_go_and_what_ended_them() -> None:
    assert transfers(GOOD) == [
        (1, 12.0, 10.0, 70 * 256, Answer.CONFIRMED),
        (2, 23.0, 10.0, 70 * 256, Answer.CONFIRMED),
    ]


def test_what_the_engine_measured_stands_with_its_page_and_not_twice() -> None:
    ladder = read(rows(GOOD))
    assert ladder.transfers[0].words == "page 1, 10.0 s, 17,920 octets on the line, 900 rows, 17000 octets of MMR"
    assert [entry for entry in ladder.entries if entry.kind is Kind.NOTE] == []


def test_pages_are_counted_from_the_first_of_the_call() -> None:
    assert [page for page, *_rest in transfers(GOOD, first_page=4)] == [4, 5]


def test_a_call_to_us_is_read_the_other_way_round() -> None:
    turned = GOOD.translate(str.maketrans("<>", "><"))
    assert transfers(turned) == transfers(GOOD)
    assert {transfer.way for transfer in read(rows(turned)).transfers} == {"<"}


@pytest.mark.parametrize(
    "middle, expected",
    [
        (  # some frames again (A.4.4)
            "13.0 < PPR asks for 5 frames again\n 15.0 > PPS-EOP end\n 16.0 < MCF confirmed",
            [(2.0, 70 * 256, Answer.REPEATED), (2.0, 5 * 256, Answer.CONFIRMED)],
        ),
        (  # at another speed
            "13.0 < PPR asks for 5 frames again\n 13.5 > CTC go\n 14.0 < CTR ok\n 15.0 > PPS-EOP end\n16.0 < MCF ok",
            [(2.0, 70 * 256, Answer.REPEATED), (1.0, 5 * 256, Answer.CONFIRMED)],
        ),
        (  # the whole page again
            "13.0 < RTN refused\n 14.0 > DCS again\n 20.0 < CFR ready\n 25.0 > EOP end\n 26.0 < MCF confirmed",
            [(2.0, 70 * 256, Answer.REFUSED), (5.0, 0, Answer.CONFIRMED)],
        ),
        ("17.0 > PPS-EOP end\n 22.0 > PPS-EOP end\n 27.0 > DCN goodbye", [(2.0, 70 * 256, Answer.NONE)]),
    ],
)
def test_what_was_refused_or_never_answered_is_told(middle: str, expected: list[Any]) -> None:
    text = f"7.0 > DCS x\n 10.0 < CFR x\n 12.0 > PPS-EOP end\n {middle}"
    found = transfers(text)
    assert [(seconds, octets, answer) for _page, _at, seconds, octets, answer in found] == expected
    assert {page for page, *_rest in found} == {1}


def test_a_page_of_several_blocks_stays_one_page() -> None:
    text = "7.0 > DCS x\n10.0 < CFR x\n30.0 > PPS-NULL x\n31.0 < MCF x\n35.0 > PPS-EOP x\n36.0 < MCF x"
    assert [(page, octets) for page, _at, _s, octets, _a in transfers(text)] == [(1, 256 * 256), (1, 70 * 256)]


def test_a_page_that_breaks_off_ends_with_the_call() -> None:
    (transfer,) = read(rows("7.0 > DCS x\n10.0 < CFR x\n21.0 < BYE")).transfers
    assert (transfer.answer, transfer.until, transfer.words) == (Answer.NONE, 21.0, "page 1, 11.0 s, broken off")


def test_nothing_breaks_off_where_nothing_began() -> None:
    assert transfers("7.0 > DCS x\n10.0 < CFR x\n10.4 < BYE") == []
    assert transfers("0.0 > INVITE\n0.1 < 486 Busy Here") == []


def test_frames_of_64_octets_are_counted_so() -> None:
    """T.30 Table 2, bit 28."""
    small = rows(GOOD)
    small[3][2] = "ffc8820046f84c"
    assert [transfer.octets for transfer in read(small).transfers] == [70 * 64, 70 * 64]


@pytest.mark.parametrize(
    "rows_",
    [None, [], [[1]], [["x", ">", "", "y"]], [[1.0, ">", "zz", "PPS-EOP x"]], [[None, None, None, None]],
     [[1.0, ">", "ffc882", "DCS"], [2.0, "<", "", "CFR"], [3.0, ">", "ffc8be", "PPS-EOP"]]],
)  # fmt: skip
def test_rows_that_are_none_are_passed_over(rows_: Any) -> None:
    assert len(read(rows_).entries) <= 3


# Folding


def long_call(pages: int, refused: int = 0) -> Ladder:
    found, at = rows("0.0 > INVITE\n1.0 < 200 OK\n7.0 > DCS x\n12.0 < CFR x"), 12.0
    for page in range(1, pages + 1):
        end = "PPS-EOP x" if page == pages else "PPS-MPS x"
        found += rows(f"{at + 10} > {end}\n{at + 11} < {'RTN' if page == refused else 'MCF'} x")
        at += 11
        if page == refused:
            found += rows(f"{at + 1} > DCS x\n{at + 5} < CFR x\n{at + 15} > {end}\n{at + 16} < MCF x")
            at += 16
    return read([*found, *rows(f"{at + 1} > DCN goodbye\n{at + 2} > BYE")])


def test_a_short_call_is_not_folded() -> None:
    ladder = long_call(5)
    assert fold(ladder) == ladder.entries


def test_the_middle_pages_that_went_well_are_folded() -> None:
    shown = fold(long_call(200), 60)
    assert len(shown) < 30
    (folded,) = [entry for entry in shown if entry.kind is Kind.FOLD]
    assert folded.words.startswith("pages 4 to 197: ")
    assert [entry.page for entry in shown if entry.kind is Kind.DATA] == [1, 2, 3, 198, 199, 200]


def test_a_page_that_was_refused_is_never_folded() -> None:
    shown = fold(long_call(200, refused=90), 60)
    assert [entry.answer for entry in shown if entry.page == 90 and entry.kind is Kind.DATA] == [
        Answer.REFUSED, Answer.CONFIRMED,
    ]  # fmt: skip
    assert [entry.words.partition(":")[0] for entry in shown if entry.kind is Kind.FOLD] == [
        "pages 4 to 89", "pages 91 to 197",
    ]  # fmt: skip


def test_whatever_the_call_no_more_is_shown_than_allowed() -> None:
    trouble = read(rows("\n".join(f"{n} > DCN x" for n in range(500))))
    shown = fold(trouble, 50)
    assert len(shown) <= 50
    assert sum(entry.kind is Kind.FOLD for entry in shown) == 1


# The verdict


def test_the_verdict_is_one_sentence_of_what_is_known() -> None:
    said = {"transport": "t38", "bit_rate": 14400, "encoding": "MMR", "ecm": True, "answered_at": 10, "ended_at": 62.4}
    text = verdict(said, "All pages were delivered and confirmed.")
    assert text == "All pages were delivered and confirmed. T.38 14400 bit/s MMR error correction, 52 s connected."
    assert verdict({"detail": "SIP 486"}, "Busy.") == "Busy. (SIP 486) not connected."
    assert verdict(None, "") == "The call is not over. not connected."
