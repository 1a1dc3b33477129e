"""What schemathesis cannot know of the native API: keys are used once, and templates are documents."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import available_timezones

import schemathesis  # type: ignore[import-not-found,unused-ignore]  # only in .venv-schema
from hypothesis import strategies as st

COVER = b"<!DOCTYPE html><html><body><p>A cover page</p></body></html>"

schemathesis.openapi.format("printable", st.text(max_size=40).filter(str.isprintable))
schemathesis.openapi.format("time-zone", st.sampled_from(sorted(available_timezones())))


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A key of its own for each request, and a template that can be read."""
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.operation.label.startswith("PUT /api/v1/templates/"):
        case.body = COVER
