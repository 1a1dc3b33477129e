"""What may go wrong across a package boundary, and who may be told.

Every error that leaves a package is a `FaxError`: it says whether trying again can help and carries a text that
may be shown to a stranger (no path, no host, no internals). A failed call is not an error: it is an `Outcome`.
"""

from __future__ import annotations


class FaxError(Exception):
    """Root of all errors that cross a package boundary.

    Args:
        detail: For the log only.
        public: For the sender; a full sentence without paths, hosts or internals.
        temporary: True when the same request may succeed later. Unknown means temporary.
    """

    default_public = "The fax gateway could not do this at the moment."
    default_temporary = True

    def __init__(self, detail: str = "", *, public: str | None = None, temporary: bool | None = None) -> None:
        super().__init__(detail or public or self.default_public)
        self.public = public or self.default_public
        self.temporary = self.default_temporary if temporary is None else temporary


class Refused(FaxError):
    """The request itself is at fault; the public text says how."""

    default_public = "The request was refused."
    default_temporary = False


class IllegalTransition(FaxError):
    """A change of state that the transition table does not know: a defect of ours, never done."""

    default_public = "The fax is in a state that does not allow this."
    default_temporary = False


class Stale(FaxError):
    """The row, lease or fence is no longer what the caller took it for; somebody else was first."""

    default_public = "The fax has changed in the meantime."
    default_temporary = True
