from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw import logs
from faxgw.setting_types import Secret

log = logging.getLogger("faxgw.tests")


class Cause(StrEnum):
    BUSY = "busy"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("faxgw")
    before = (root.level, ours.level, list(root.handlers), warnings.showwarning)
    yield
    logging.captureWarnings(False)
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.handlers[:] = before[2]
    assert warnings.showwarning is before[3]


def record(**extra: object) -> dict[str, Any]:
    """The JSON object that one record becomes."""
    out = io.StringIO()
    logs.configure(form="json", stream=out)
    log.info("call ended", extra=extra)
    (line,) = out.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


class TestForm:
    def test_json_has_one_object_per_line_with_message_and_fields(self) -> None:
        found = record(event="call_ended", cause=Cause.BUSY, pages=3, seconds=1.5, ok=True, reason=None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
        assert found == {
            "level": "INFO",
            "logger": "faxgw.tests",
            "message": "call ended",
            "event": "call_ended",
            "cause": "busy",
            "pages": 3,
            "seconds": 1.5,
            "ok": True,
            "reason": None,
        }

    def test_text_is_one_readable_line(self) -> None:
        out = io.StringIO()
        logs.configure(form="text", stream=out)
        log.warning("call ended", extra={"cause": "busy", "note": "two words", "pages": [1, 2]})
        assert re.fullmatch(
            r'\d\d:\d\d:\d\d WARNING tests: call ended  cause=busy note="two words" pages=\[1, 2\]\n', out.getvalue()
        )

    def test_auto_writes_text_on_a_terminal_and_json_elsewhere(self) -> None:
        terminal, pipe = Terminal(), io.StringIO()
        logs.configure(stream=terminal)
        log.info("one")
        logs.configure(stream=pipe)
        log.info("two")
        assert terminal.getvalue().endswith("tests: one\n")
        assert json.loads(pipe.getvalue())["message"] == "two"

    def test_a_field_cannot_take_the_place_of_ours(self) -> None:
        found = record(level="x", time=1, logger="y")
        assert (found["level"], found["level_"], found["time_"], found["logger_"]) == ("INFO", "x", 1, "y")

    @pytest.mark.parametrize("form", ["json", "text"])
    def test_nothing_breaks_out_of_its_line(self, form: Any) -> None:
        out = io.StringIO()
        logs.configure(form=form, stream=out)
        log.info("a\nb", extra={"note": "c\r\nd\x1b[31m\u2028e", "list": ["f\n"], "bare": "\x85"})
        assert len(out.getvalue().splitlines()) == 1 or form == "json"
        assert out.getvalue().count("\n") == 1
        assert "\x1b" not in out.getvalue()

    @pytest.mark.parametrize("form", ["json", "text"])
    def test_an_exception_is_written_with_its_traceback(self, form: Any) -> None:
        out = io.StringIO()
        logs.configure(form=form, stream=out)
        try:
            raise ValueError("no route to +33123456789")
        except ValueError:
            log.exception("task failed")
        assert "Traceback" in out.getvalue()
        assert "ValueError: no route to +33…89" in out.getvalue()

    def test_values_are_bounded(self) -> None:
        deep: list[Any] = []
        for _ in range(1000):
            deep = [deep]
        found = record(long="x" * 10**6, many=list(range(10**5)), deep=deep, nan=float("nan"), odd=object)
        assert len(json.dumps(found)) < 10_000
        assert found["nan"] == "nan"


class TestLevels:
    def test_our_level_is_set_and_libraries_are_heard_from_warning_on(self) -> None:
        out = io.StringIO()
        logs.configure(level="DEBUG", form="json", stream=out)
        log.debug("ours")
        logging.getLogger("aiohttp.server").info("theirs")
        logging.getLogger("aiohttp.server").warning("theirs, worse")
        assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["ours", "theirs, worse"]
        logs.configure(level="ERROR", form="json", stream=out)
        log.warning("not heard")
        assert "not heard" not in out.getvalue()

    def test_python_warnings_are_logged(self) -> None:
        out = io.StringIO()
        logs.configure(form="json", stream=out)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old function", DeprecationWarning, stacklevel=1)
        assert "old function" in json.loads(out.getvalue())["message"]


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "shown"),
        [
            ("+33123456789", "+33…89"),
            ("+33 1 23 45 67 89", "+33…89"),
            ("0033123456789", "0033…89"),
            ("0123456789", "01…89"),
            ("123456", "…56"),
            ("112", "…"),
            ("", "…"),
        ],
    )
    def test_a_number_is_shown_by_its_ends(self, number: str, shown: str) -> None:
        assert logs.mask_number(number) == shown

    @pytest.mark.parametrize(
        "number",
        ["+33123456789", "+33 1 23 45 67 89", "+49 (30) 1234-567", "0123456789", "01.23.45.67.89", "0033123456789"],
    )
    @pytest.mark.parametrize("text", ["{}", "busy: {}.", "sip:{}@10.0.0.1", "<{}>", "tel={},x", "'{}'"])
    def test_one_in_any_text_is_masked(self, text: str, number: str) -> None:
        shown = logs.mask_text(text.format(number))
        assert "…" in shown
        assert not re.search(r"\d{5}", shown)
        assert number not in shown

    def test_one_without_plus_or_zero_is_masked_too(self) -> None:
        assert logs.mask_text("sip:33123456789@[2001:db8::1]:5060") == "sip:33…89@[2001:db8::1]:5060"

    @pytest.mark.parametrize(
        "text",
        [
            "att_019aa1b2-3c4d-7e5f-8a6b-0123456789ab",
            "2026-11-21T20:49:09.123456Z",
            "192.168.100.200:5060",
            "took 0.123456789 s",
            "30000000 octets",
            "0123456789abcdef0123456789abcdef",
            "F2ABCDEFGHIJ1234567890",
            "SIP/2.0 486 Busy here",
            "z9hG4bK0123456789",
        ],
    )
    def test_what_is_no_number_stays(self, text: str) -> None:
        assert logs.mask_text(text) == text

    @pytest.mark.parametrize("field", ["number", "caller", "to", "remote_csid", "called_number", "number_e164"])
    def test_fields_named_for_numbers_are_masked_whatever_their_form(self, field: str) -> None:
        assert record(**{field: "33.12.34"})[field] == "…34"
        assert record(**{field: 33123456789})[field] == "33…89"
        assert record(**{field: ["112", "+33123456789"]})[field] == ["…", "+33…89"]
        assert record(**{field: "33123456789@fax.example"})[field] == "33…89@fax.example"

    @pytest.mark.parametrize("number", ["+33123456789", "0033123456789", "33123456789", "112", "55501", "5550123"])
    def test_what_is_masked_already_stays_as_it_is(self, number: str) -> None:
        masked = logs.mask_number(number)
        assert record(numbers=[masked])["numbers"] == [masked]

    def test_nested_fields_are_masked(self) -> None:
        assert record(call={"to": "5550123", "legs": [{"from": "5550124"}]})["call"] == {
            "to": "…23",
            "legs": [{"from": "…24"}],
        }

    def test_ids_are_kept_whole(self) -> None:
        found = record(call_id="0123456789@10.0.0.1", message_id="123456789012", branch="z9hG4bK.0123456789")
        assert (found["call_id"], found["message_id"]) == ("0123456789@10.0.0.1", "123456789012")
        assert found["branch"] == "z9hG4bK.0123456789"

    def test_they_are_shown_when_asked_for(self) -> None:
        out = io.StringIO()
        logs.configure(form="json", show_numbers=True, stream=out)
        log.info("to +33123456789", extra={"number": "+33123456789", "to": 33123456789})
        found = json.loads(out.getvalue())
        assert (found["message"], found["number"], found["to"]) == ("to +33123456789", "+33123456789", 33123456789)

    @given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True), st.text(alphabet=" :,;<>()@='\"/éß", max_size=5))
    def test_no_international_number_passes(self, number: str, around: str) -> None:
        assert number not in logs.mask_text(f"{around}{number}{around}")


class TestContent:
    def test_octets_and_content_never_appear(self) -> None:
        found = record(page=b"%PDF-secret", subject="Diagnosis", password="hunter2", mail={"body": "Diagnosis"})
        assert found["page"] == "[11 octets]"
        assert "Diagnosis" not in str(found)
        assert "hunter2" not in str(found)

    def test_a_secret_in_any_field_is_masked(self) -> None:
        assert "hunter2" not in str(record(trunk=Secret("hunter2"), all=[Secret("hunter2")]))
