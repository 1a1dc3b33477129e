"""The description of the native API: valid, complete, and nothing in it that the table does not have."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

from faxgw.api.settings import ApiSettings
from faxgw.api.v1.fax_models import State
from faxgw.api.v1.native import NativeApi
from faxgw.egress import Egress
from faxgw.fax.job import FaxState
from faxgw.fax.reception import ReceptionState


def api(**settings: Any) -> NativeApi:
    nothing = MagicMock()
    return NativeApi(
        nothing, nothing, ApiSettings(**settings), Egress(), push_egress=Egress(), pages=nothing, previews=nothing,
        templates=nothing, plan=nothing, system={},
    )  # fmt: skip


def description(**settings: Any) -> Any:
    return json.loads(api(**settings)._description)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(one) for one in value.values()))
    return set().union(*(references(one) for one in value)) if isinstance(value, list) else set()


def test_every_reference_leads_to_a_schema_and_every_schema_is_used() -> None:
    document = description()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == known


def test_operations_have_names_of_their_own_and_say_their_scopes() -> None:
    rows = [row for path in description()["paths"].values() for row in path.values()]
    names = [row["operationId"] for row in rows]
    assert len(set(names)) == len(names) == len(api().table.operations)
    assert all(row["x-scopes"] and row["summary"] and {"401", "403", "429"} <= set(row["responses"]) for row in rows)


def test_limits_are_those_of_this_gateway() -> None:
    schemas = description(max_recipients=7)["components"]["schemas"]
    assert schemas["FaxNew"]["properties"]["to"]["maxItems"] == 7
    assert schemas["FaxForm"]["properties"]["to"]["maxItems"] == 7


def test_unknown_members_are_refused_by_the_schema_too() -> None:
    schemas = description()["components"]["schemas"]
    for name in ("FaxNew", "FaxForm", "FaxSaid", "FaxOptions", "Recipient", "Resend", "WebhookNew", "WebhookChange"):
        assert schemas[name]["additionalProperties"] is False, name
    assert schemas["Recipient"]["properties"]["properties"]["additionalProperties"] is False


def test_states_are_those_of_faxes() -> None:
    assert set(State.__args__) == {*FaxState, *ReceptionState}  # type: ignore[attr-defined]
