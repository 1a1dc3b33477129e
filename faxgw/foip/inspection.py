"""What a request must be before anything is kept of it, and what refuses it (RFC 3261 sections 8.2 and 18.2.1)."""

from __future__ import annotations

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import KNOWN_METHODS, Headers, Request, Response, response_to
from faxgw.foip.options import unsupported
from faxgw.foip.sdp import CONTENT_TYPE
from faxgw.foip.stack import ALLOW
from faxgw.foip.transaction import Address

RETRY_AFTER = 10
"""Seconds we ask for with 503."""
MAX_REQUIRE = 32
"""Option tags listed in Unsupported at most."""


def mark_source(request: Request, source: Address) -> None:
    """Put received and rport into the topmost Via (RFC 3261 section 18.2.1); a Via that cannot be read stays."""
    values = request.headers.get_all("Via")
    if not values:
        return
    try:
        vias = request.vias
    except RemoteProtocolError:
        return
    marked = vias[0].received_from(*source)
    if marked is vias[0]:
        return
    rest = [(name, value) for name, value in request.headers if name != "Via"]
    request.headers = Headers([("Via", str(via)) for via in (marked, *vias[1:])] + rest)


def check_extensions(request: Request) -> None:
    """What the request requires must be ours (section 8.2.2.3); ACK and CANCEL never get here.

    Raises:
        RemoteProtocolError: 420 if it is not, 400 if it cannot be read.
    """
    if unsupported(request):
        raise RemoteProtocolError("extension required", 420)


def check_content(request: Request) -> None:
    """Body and Accept of a request that begins something (sections 8.2.3 and 13.2.1).

    Raises:
        RemoteProtocolError: 415 or 406.
    """
    if request.body and request.method == "INVITE":
        kind = request.content_type
        if kind != CONTENT_TYPE and not kind.startswith("multipart/"):
            raise RemoteProtocolError("media type", 415)
    if (request.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise RemoteProtocolError("content encoding", 415)
    accepted = [value.partition(";")[0].strip().lower() for value in request.headers.tokens("Accept")]
    wanted = ("application/sdp", "application/*", "*/*")
    if request.method == "INVITE" and "Accept" in request.headers and not set(accepted) & set(wanted):
        raise RemoteProtocolError("no session description accepted", 406)  # RFC 4475 sdp01


def method_status(method: str) -> int:
    """What answers a request that begins nothing here (sections 8.2.1, 12.2.2 and 15.1.2)."""
    if method in ("BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"):
        return 481
    return 405 if method in KNOWN_METHODS else 501


def refusal(request: Request, status: int, tag: str, min_se: int) -> Response:
    """A refusal with the header field that explains it; `min_se` seconds for 422 (RFC 4028 section 9)."""
    response = response_to(request, status, tag=tag)
    if status == 405:
        response.headers.add("Allow", ALLOW)
    elif status == 415:
        response.headers.add("Accept", CONTENT_TYPE)
    elif status == 420:
        response.headers.add("Unsupported", ", ".join(unsupported(request)[:MAX_REQUIRE]))
    elif status == 422:
        response.headers.add("Min-SE", min_se)
    elif status == 503:
        response.headers.add("Retry-After", RETRY_AFTER)
    return response
