"""The bench of received faxes counts what it says it counts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import create_engine, insert

from bench import receive
from faxgw.store import schema as t


@pytest.mark.parametrize(
    "found, rate",
    [("abcdefghij", 0.0), ("abcdefghi", 10.0), ("abXdefghijk", 20.0), ("", 100.0), ("ab\ncdefghij", 10.0)],
)
def test_an_error_is_a_letter_missing_wrong_or_too_many(found: str, rate: float) -> None:
    assert receive.error_rate("abcdefghij", found) == pytest.approx(rate)


def test_a_page_is_as_the_gateway_keeps_it_at_both_resolutions() -> None:
    drawn, text = receive.letter("Sans", 10, 1, 3)
    fine, standard = (receive.scanned(drawn, 1, 0.0, coarse) for coarse in (False, True))
    assert fine.shape == (2200, 1728) and standard.shape == (1100, 1728) and len(text.split()) > 20
    with Image.open(io.BytesIO(receive.sent([fine, fine]))) as image:
        assert (image.size, getattr(image, "n_frames", 0)) == ((1728, 2200), 2)


def test_what_was_never_measured_is_none() -> None:
    assert receive.summary("x", []) == {"x_p50_ms": None, "x_p99_ms": None}
    assert receive.summary("x", [0.1, 0.3, 0.2]) == {"x_p50_ms": 200, "x_p99_ms": 300}


def test_moments_are_found_in_the_gateways_own_tables(tmp_path: Path) -> None:
    database = tmp_path / "faxgw.db"
    engine = create_engine(f"sqlite:///{database}")
    t.metadata.create_all(engine)
    page = {
        "reception": "rcv_1",
        "key": "k",
        "sha256": "",
        "size": 1,
        "rows": 1,
        "width": 1,
        "x_resolution": 1,
        "y_resolution": 1,
        "bad_rows": 0,
        "encoding": "MMR",
        "page_end": "eop",
        "confirmed": True,
    }
    with engine.begin() as conn:
        for number, at in ((1, 100.0), (2, 130.0)):
            conn.execute(insert(t.reception_pages).values(**page, page=number, at=at))
        event = {"entity": "rcv_1", "who": "", "what": "reception.routed", "at": 130.5, "data": {}}
        conn.execute(insert(t.events).values(**event))
        row = {"reception": "rcv_1", "wanted": {}, "tries": 1}
        conn.execute(insert(t.readings).values(**row, page=1, state="read", asked_at=100.0, done_at=101.5))
        conn.execute(insert(t.readings).values(**row, page=2, state="waiting", asked_at=130.0))
    engine.dispose()
    assert receive.moments(database) == ({"rcv_1": 130.0}, {"rcv_1": 130.5})
    assert receive.readings(database) == {("rcv_1", 1): 1.5}
