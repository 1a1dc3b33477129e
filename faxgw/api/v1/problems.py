"""Every refusal of the native API: its code, its status and when it happens. Error documents follow RFC 9457.

The table is what docs/api.md shows and what the description of the API is made from; a code that is not here is a
defect (a test sends one request for each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from faxgw.api.answers import Refusal, problem, title

BASE = "/api/v1/problems"
"""Page of the problems; `type` is an anchor on it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of refusal."""

    status: int
    when: str
    """For people: when it happens, one sentence."""
    retry: bool = False
    """The answer has Retry-After."""


PROBLEMS: Mapping[str, Kind] = {
    "unauthorized": Kind(401, "Credentials are missing, wrong, expired, ended, or not for this address."),
    "tls_required": Kind(403, "Credentials came without TLS from another machine."),
    "account_suspended": Kind(403, "The account is suspended."),
    "interface_not_booked": Kind(403, "The account does not have this interface."),
    "scope_missing": Kind(403, "The credentials are not for this."),
    "not_for_operators": Kind(403, "An operator's token belongs to no customer and has no faxes."),
    "account_inactive": Kind(403, "The account may not send faxes at present."),
    "express_not_open": Kind(403, "Express faxes are not open to the account."),
    "caller_not_open": Kind(403, "The account may not show this caller number."),
    "not_found": Kind(404, "It does not exist, or it is somebody else's: both look alike."),
    "unknown_cursor": Kind(404, "The cursor is none of this list, or of a list with other filters."),
    "unknown_cover": Kind(404, "There is no such cover page."),
    "unknown_overlay": Kind(404, "There is no such overlay."),
    "method_not_allowed": Kind(405, "The path does not know this method; Allow names those it knows."),
    "too_slow": Kind(408, "The body did not come in time."),
    "in_progress": Kind(409, "A request with the same Idempotency-Key is being worked on.", retry=True),
    "final": Kind(409, "The fax is final, and nothing leaves a final state."),
    "not_outbound": Kind(409, "Only a fax that is sent can be cancelled or sent again."),
    "not_inbound": Kind(409, "Only a received fax can be acknowledged."),
    "documents_pending": Kind(409, "Documents of the fax are still being fetched.", retry=True),
    "conflict": Kind(409, "It exists already, or is kept by the settings file or a directory."),
    "not_ready": Kind(409, "The pages are not made yet.", retry=True),
    "on_its_way": Kind(409, "The message is still being tried by itself.", retry=True),
    "too_many_webhooks": Kind(409, "The account has as many webhooks as it may have."),
    "too_large": Kind(413, "The body is larger than this operation takes; it is refused before it is read."),
    "unsupported_type": Kind(415, "The body is of another media type than this operation takes."),
    "unsupported_encoding": Kind(415, "The body has another Content-Encoding than gzip or deflate, or several."),
    "unsupported_charset": Kind(415, "JSON is UTF-8; another charset was declared."),
    "bad_json": Kind(400, "The body is not JSON, or not UTF-8."),
    "bad_form": Kind(400, "The multipart body cannot be read."),
    "bad_request": Kind(400, "The request is not HTTP that can be read."),
    "invalid": Kind(422, "A member or parameter has a value it may not have, or is unknown; `faults` names each."),
    "key_reused": Kind(422, "The Idempotency-Key was used for another request."),
    "refused": Kind(422, "It cannot be done; the text says why."),
    "address_closed": Kind(403, "The address lies in a network that this gateway does not send to."),
    "bad_reference": Kind(422, "The URL of a document must not be asked for."),
    "nothing_to_send": Kind(422, "There is neither a document nor a cover page."),
    "missing_property": Kind(409, "The cover page needs a value that a recipient's properties do not give."),
    "bad_template": Kind(422, "The template cannot be read or rendered, or needs a value that nobody gives."),
    "bad_setting": Kind(409, "A setting of the fax that is sent again is none that a fax may have."),
    "header_policy": Kind(409, "The header line does not satisfy the law that the account is under."),
    "too_many_failures": Kind(429, "There were too many wrong logins.", retry=True),
    "rate_limited": Kind(429, "There are too many requests.", retry=True),
    "quota": Kind(429, "The account's faxes or pages of 24 hours are used up.", retry=True),
    "too_many_streams": Kind(429, "The account has as many event streams open as it may have.", retry=True),
    "internal_error": Kind(500, "A fault of the gateway."),
    "maintenance": Kind(503, "The gateway is being maintained.", retry=True),
    "busy": Kind(503, "Too many passwords wait to be checked.", retry=True),
    "unavailable": Kind(503, "The gateway cannot do it at the moment.", retry=True),
    "uncertain": Kind(503, "The gateway could not confirm that it stored the fax; send the same again.", retry=True),
    "no_room": Kind(507, "The disk is too full to accept anything.", retry=True),
}
"""Code → kind."""

QUOTA_RETRY_S = 3600
"""Seconds after which a client whose quota is used up may ask again."""
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large", 400: "bad_request"}


def answer(refusal: Refusal) -> web.Response:
    """The error document of a refusal."""
    code = refusal.code or _BY_STATUS.get(refusal.status, "refused")
    headers = dict(refusal.headers)
    if refusal.status == 401:
        basic = headers.get("WWW-Authenticate", "Basic")
        headers["WWW-Authenticate"] = f'Bearer realm="faxgw", {basic}'
    if code == "quota":
        headers.setdefault("Retry-After", str(QUOTA_RETRY_S))
    members: dict[str, object] = {"type": f"{BASE}#{code}", "title": title(refusal.status), "code": code}
    if refusal.param:
        members["param"] = refusal.param
    return problem(refusal.status, refusal.detail, headers=headers, **members, **refusal.members)


def of_code(code: str, detail: str, *, param: str = "", headers: Mapping[str, str] | None = None) -> Refusal:
    """A refusal of the table.

    Raises:
        KeyError: If the table does not hold the code: a defect of ours.
    """
    return Refusal(PROBLEMS[code].status, detail, code=code, param=param, headers=headers)
