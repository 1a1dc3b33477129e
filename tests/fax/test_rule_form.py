"""Rules as they are written: what is taken, every fault at once, and the way through JSON and back."""

import json
from typing import Any

import pytest

from faxgw.fax.reading import Symbology
from faxgw.fax.routing_rule import Conditions, Rule
from faxgw.fax.rule_form import RuleDefect, from_json, to_json

WHOLE: dict[str, Any] = {
    "when": {
        "number": ["+33199000000-+33199000099"],
        "caller": ["+4989*", "anonymous"],
        "csid": ["ACME*"],
        "sub_address": ["4711"],
        "barcode": ["/^INV-/"],
        "barcode_kind": ["qr", "code128"],
        "text": ["invoice"],
        "times": ["mon-fri 08:00-18:00"],
        "pages_min": 1,
        "pages_max": 20,
        "junk_min": 60,
        "result": "complete",
    },
    "then": {
        "deliver": ["crm", "office@example.org", "owner"],
        "tags": ["invoice"],
        "language": "de",
        "reply": "thanks",
        "extract": [{"name": "order", "pattern": r"/(?P<no>\d+)/", "source": "barcode", "every": True}],
    },
    "stop": False,
}


def faults(data: dict[str, Any]) -> str:
    with pytest.raises(RuleDefect) as caught:
        from_json(data)
    return "; ".join(caught.value.faults)


def test_a_rule_survives_its_json() -> None:
    conditions, actions, stop = from_json(WHOLE)
    rule = Rule("r", "r", "acme", conditions=conditions, actions=actions, stop=stop)
    assert json.loads(json.dumps(to_json(rule))) == WHOLE
    assert conditions.barcode_kind == (Symbology.QR, Symbology.CODE128)


def test_a_single_text_stands_for_a_list_and_what_is_left_out_means_all() -> None:
    conditions, actions, stop = from_json({"then": {"deliver": "crm"}})
    assert (conditions, actions.deliver, stop) == (Conditions(), ("crm",), True)


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"nummer": "+33"}, "when.nummer: there is no such condition; there are number"),
        ({"number": "0199"}, "international form"),
        ({"number": "anonymous"}, "international form"),
        ({"number": "+331-+3301"}, "same length"),
        ({"number": "+33199000009-+33199000001"}, "smaller first"),
        ({"caller": 49}, "a text or a list of texts"),
        ({"caller": [""]}, "a text or a list of texts"),
        ({"csid": "/(?=x)/"}, "invalid perl operator"),
        ({"text": "/(/"}, "missing )"),
        ({"barcode_kind": "rss"}, "must be some of code128"),
        ({"times": "always"}, "days and hours"),
        ({"pages_min": -1}, "whole number"),
        ({"pages_min": True}, "whole number"),
        ({"junk_min": 101}, "0 to 100"),
        ({"pages_min": 5, "pages_max": 2}, "less than pages_min"),
        ({"result": "empty"}, "complete or partial"),
        ({"csid": [str(k) for k in range(51)]}, "at most 50"),
    ],
)
def test_conditions_that_are_none(when: dict[str, Any], says: str) -> None:
    assert says in faults({"when": when, "then": {"tags": "x"}})


@pytest.mark.parametrize(
    ("then", "says"),
    [
        ({}, "the rule does nothing"),
        ({"deliver": []}, "the rule does nothing"),
        ({"deliver": "CRM"}, "a target's name"),
        ({"deliver": "a b@example.org"}, "a target's name"),
        ({"tags": "a/b"}, "a tag has"),
        ({"language": "it"}, "en, fr or de"),
        ({"reply": 1}, "a template's name"),
        ({"forward": "x"}, "there is no such action"),
        ({"extract": {"name": "x"}}, "a list of at most"),
        ({"extract": [{"name": "x"}]}, "a name and a pattern"),
        ({"extract": [{"name": "x", "pattern": "plain"}]}, "names no group"),
        ({"extract": [{"name": "1x", "pattern": "/(?P<a>b)/"}]}, "a name has"),
        ({"extract": [{"name": "x", "pattern": "/(?P<a>b/"}]}, "missing )"),
        ({"extract": [{"name": "x", "pattern": "/(?P<a>b)/", "source": "csid"}]}, "text or barcode"),
    ],
)
def test_actions_that_are_none(then: dict[str, Any], says: str) -> None:
    assert says in faults({"then": then})


def test_every_fault_is_told_at_once() -> None:
    told = faults({"when": {"csid": "/(/", "pages_min": "3"}, "then": {"tags": "/"}, "if": {}, "stop": True})
    assert all(key in told for key in ("if:", "when.csid:", "when.pages_min:", "then.tags:"))
    assert "must be tables" in faults({"when": [], "then": {}})
    assert "true or false" in faults({"then": {"tags": "x"}, "stop": "no"})
