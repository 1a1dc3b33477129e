"""Why the page processes did not do what the daemon asked: what callers of `document.client` have to tell apart."""

from __future__ import annotations

from faxgw.fax.errors import FaxError


class PagesUnavailable(FaxError):
    """The page processes cannot do it now; the document is not at fault."""

    default_public = "The fax gateway could not convert the document at the moment. It will try again."
    default_temporary = True


class PagesDamaged(FaxError):
    """Stored pages are damaged, or a request names pages that do not exist."""

    default_public = "The stored pages of this fax are damaged."
    default_temporary = False
