"""What schemathesis cannot know of our APIs: keys are used once, templates are documents, and cover pages exist."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import available_timezones

import schemathesis  # type: ignore[import-not-found,unused-ignore]  # only in .venv-schema
from hypothesis import strategies as st

MAX_NAME = 200
"""What the schema allows a cover page's name to have; any longer one must be refused as it is."""
COVER = b"<!DOCTYPE html><html><body><p>A cover page</p></body></html>"

schemathesis.openapi.format("printable", st.text(max_size=40).filter(str.isprintable))
schemathesis.openapi.format("time-zone", st.sampled_from(sorted(available_timezones())))


@schemathesis.hook  # type: ignore[untyped-decorator,unused-ignore]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A key of its own for each request, a template that can be read, and a cover page that there is."""
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.operation.label.startswith("PUT /api/v1/templates/"):
        case.body = COVER
    settings = case.body.get("settings") if isinstance(case.body, dict) else None
    if isinstance(settings, dict):
        reply = settings.get("fax_reply")
        if isinstance(reply, str) and 0 < len(reply) <= MAX_NAME and reply.isprintable():
            settings["fax_reply"] = "letter"
