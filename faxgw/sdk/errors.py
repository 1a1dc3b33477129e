"""What may go wrong for a program that uses the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # JSON

from faxgw.fax.errors import FaxError


class ApiError(FaxError):
    """The gateway refused a request, in words (RFC 9457).

    Args:
        status: HTTP status.
        problem: The error document.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        text = str(problem.get("detail") or problem.get("title") or f"The gateway answered with {status}.")
        super().__init__(
            f"{status} {problem.get('code', '')}: {text}", public=text, temporary=status in (429, 503, 507)
        )
        self.status = status
        self.code = str(problem.get("code", ""))
        """A word for programs, of the table in docs/api.md."""
        self.param = str(problem.get("param", ""))
        """What of the request is at fault."""
        self.problem = dict(problem)
        """All of the document."""


class NoAnswer(FaxError):
    """No answer came, however often it was tried."""

    default_public = "The fax gateway does not answer."
