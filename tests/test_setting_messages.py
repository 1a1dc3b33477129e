from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faxgw import setting_messages


class Route(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prefix: str = ""
    target: int | bool = 0


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    routes: tuple[Route, ...] | None = None
    limits: dict[str, int] = {}
    channels: int = Field(default=2, ge=1, lt=100)
    name: str = Field(default="a", pattern="^[a-z]$", max_length=3)
    ports: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"routes": [{}, {"prefxi": "x"}]}, "unknown key; did you mean 'prefix'?"),
        ({"routes": [{"zzz": 1}]}, "unknown key"),
        ({"limits": {"a": "secret"}}, "input should be a valid integer, unable to parse string as an integer"),
        ({"limits": []}, "must be a table"),
        ({"routes": 5}, "must be a list"),
        ({"channels": 0}, "must be at least 1"),
        ({"channels": 100}, "must be less than 100"),
        ({"name": "A"}, "must match ^[a-z]$"),
        ({"name": "abcd"}, "may have no more characters than 3"),
        ({"ports": []}, "needs 1 or more entries"),
        ({"ports": [1, 2, 3]}, "may have 2 entries at most"),
    ],
)
def test_a_finding_is_put_in_plain_words(raw: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Line.model_validate(raw)
    (error,) = caught.value.errors(include_input=False)
    assert setting_messages.message(error, Line, error["loc"]) == text


def test_names_that_unions_add_are_left_out_of_the_path() -> None:
    raw = {"routes": [{"target": "x"}]}
    with pytest.raises(ValidationError) as caught:
        Line.model_validate(raw)
    locations = [error["loc"] for error in caught.value.errors()]
    assert locations == [("routes", 0, "target", "int"), ("routes", 0, "target", "bool")]
    assert {setting_messages.known(loc, raw) for loc in locations} == {("routes", 0, "target")}


def test_a_name_unlike_all_others_gets_no_hint() -> None:
    assert setting_messages.near("xyz", ["listen", "tls"]) == ""
    assert setting_messages.near("lissten", ["listen", "tls"]) == "; did you mean 'listen'?"
