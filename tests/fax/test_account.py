"""Settings laid over one another, each value with its origin (features B1)."""

import re

import pytest

from faxgw.fax.account import SETTINGS, Level, Origin, check_settings, from_snapshot, resolve


def test_the_strongest_level_wins_and_says_where_it_is_from() -> None:
    effective = resolve(
        [
            (Origin(Level.SYSTEM), {"resolution": "standard", "csid": "+33 1"}),
            (Origin(Level.CUSTOMER, "acme"), {"csid": "+33 2"}),
            (Origin(Level.USER, "jane"), {"language": "fr"}),
        ]
    )
    assert effective["resolution"] == "standard" and str(effective.origins["resolution"]) == "system"
    assert effective["csid"] == "+33 2" and str(effective.origins["csid"]) == "customer acme"
    assert effective["language"] == "fr" and str(effective.origins["language"]) == "user jane"
    assert effective["paper"] == "A4" and str(effective.origins["paper"]) == "default"


def test_every_default_passes_its_own_check() -> None:
    for setting in SETTINGS.values():
        assert setting.check(setting.default) == setting.default, setting.key
        assert setting.doc


@pytest.mark.parametrize(
    "key, value",
    [
        ("csid", "abc"),
        ("csid", "+33 1 99 00 00 01 02 03 04"),
        ("clip", "0199"),
        ("resolution", "superb"),
        ("max_dials", 13),
        ("max_dials", True),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../etc/passwd"),
        ("report_addresses", ["not an address"]),
        ("report_addresses", "a@example.org"),
        ("header", "line\nfeed"),
        ("allowed_countries", ["fr"]),
        ("cover", "x" * 201),
        ("cover_values", "FromName=Ann"),
        ("cover_values", ["FromName"]),
        ("cover_values", ["1=x"]),
        ("cover_values", ["a=b\nc"]),
        ("cover_values", ["a=b"] * 41),
        ("no_such_thing", 1),
    ],
)
def test_a_bad_value_is_named_with_its_key(key: str, value: object) -> None:
    values, faults = check_settings({key: value, "language": "de"})
    assert values == {"language": "de"}
    assert len(faults) == 1 and faults[0].startswith(f"{key}: ")


def test_all_faults_are_named_at_once() -> None:
    _values, faults = check_settings({"csid": "x", "paper": "B5", "nope": 1})
    assert len(faults) == 3


def test_a_snapshot_keeps_values_and_origins() -> None:
    effective = resolve([(Origin(Level.CUSTOMER, "acme"), {"report_addresses": ["a@example.org"], "max_tries": 2})])
    again = from_snapshot(effective.snapshot())
    assert dict(again.values) == dict(effective.values)
    assert dict(again.origins) == dict(effective.origins)


def test_a_snapshot_of_an_older_release_gets_the_defaults_of_new_settings() -> None:
    assert from_snapshot({})["resolution"] == SETTINGS["resolution"].default


def test_a_sandbox_has_no_other_trunk_and_is_left_by_nobody_below() -> None:
    above = (Origin(Level.CUSTOMER, "acme"), {"sandbox": "toy"})
    below = (Origin(Level.USER, "bert"), {"sandbox": "", "trunk": "carrier"})
    found = resolve([above, below])
    assert (found["sandbox"], found["trunk"]) == ("toy", "toy")
    assert resolve([(Origin(Level.USER, "bert"), {"sandbox": "toy"})])["trunk"] == "toy"


@pytest.mark.parametrize("key", SETTINGS)
def test_what_a_setting_may_be_is_said_as_it_is_checked(key: str) -> None:
    """The description of the administration says it to programs; schemathesis compares the two at random."""
    setting, shape = SETTINGS[key], SETTINGS[key].shape
    assert shape["description"] == setting.doc

    def takes(value: object) -> bool:
        return not check_settings({key: value})[1]

    assert takes(shape["default"])
    kinds: dict[str, object] = {"string": "", "boolean": True, "integer": 60.5, "array": ["a"], "object": {"FR": 1}}
    wrong = [value for kind, value in kinds.items() if kind != shape["type"]]
    assert not any(takes(value) for value in wrong)
    match shape["type"]:
        case "integer":
            least, most = shape["minimum"], shape["maximum"]
            assert [takes(value) for value in (least - 1, least, most, most + 1)] == [False, True, True, False]
            assert type(setting.check(float(most))) is int and not takes(least + 0.5)
        case "string" if "enum" in shape:
            assert all(takes(value) for value in shape["enum"]) and not takes("never heard of")
        case "string" if "maxLength" in shape:
            longest = shape["maxLength"]
            assert takes("é" * longest) and not takes("é" * (longest + 1)) and not takes("a\u2028b")
        case "array":
            item = shape["items"]
            fits = 3_600 if item["type"] == "integer" else item["enum"][0] if "enum" in item else _fitting(key)
            assert takes([fits]) and not takes([None]) and not takes([[fits]])
            if "maxItems" in shape:
                assert takes([fits] * shape["maxItems"]) and not takes([fits] * (shape["maxItems"] + 1))


def _fitting(key: str) -> str:
    examples = {"allowed_countries": "FR", "open_numbers": "+33899", "cover_values": "FromName=Ann"}
    examples |= {"ocr_languages": "chi_sim", "deny_callers": "+4930*", "deny_idents": "*spam?"}
    found = examples.get(key, "anna@example.org")
    pattern = SETTINGS[key].shape["items"]["pattern"]
    assert re.search(pattern, found)
    return found
