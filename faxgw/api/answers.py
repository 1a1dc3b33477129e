"""What every HTTP answer has in common: error documents (RFC 9457), refusals raised by handlers, keys of a request."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

PROBLEM = "application/problem+json"
"""RFC 9457 section 3."""
ROUTE = web.RequestKey("route", str)
"""The route's pattern, for the access log."""
REQUEST_ID = web.RequestKey("request_id", str)
"""Identifier of the request in the log and in the field X-Request-Id of its answer."""


class BodyTooSlow(TimeoutError):
    """The body did not come in time. A kind of its own: aiohttp takes a TimeoutError for the end of its own waiting."""


class Refusal(Exception):
    """A request that is refused; the route table turns it into an answer in its own form.

    Args:
        status: HTTP status, 400 to 599.
        detail: For the client: full sentences, without internals.
        code: A word that programs can tell apart, such as `unknown_fax`.
        param: The part of the request that is at fault, such as `recipients[0].number`.
        headers: Further header fields.
        members: Further members of the error document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        param: str = "",
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(f"{status} {code or title(status)}: {detail}")
        self.status = status
        self.detail = detail
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.members = members

    @classmethod
    def missing(cls, detail: str = "There is no such thing here.") -> Refusal:
        """404: it does not exist, or it is somebody else's, which must look alike."""
        return cls(404, detail, code="not_found")

    def problem(self) -> web.Response:
        """As an error document."""
        members = {name: value for name, value in (("code", self.code), ("param", self.param)) if value}
        return problem(self.status, self.detail, headers=self.headers, **members, **self.members)


def problem(
    status: int, detail: str = "", *, headers: Mapping[str, str] | None = None, **members: object
) -> web.Response:
    """An error document (RFC 9457 section 3.1).

    Args:
        status: HTTP status, 400 to 599.
        detail: For the client; without internals.
        headers: Further header fields.
        members: Extension members, such as `code` and `param`.
    """
    document: dict[str, object] = {"type": "about:blank", "title": title(status), "status": status}
    if detail:
        document["detail"] = detail
    return web.json_response(document | members, status=status, headers=headers, content_type=PROBLEM)


def title(status: int) -> str:
    """The status in words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
