"""Descriptors that a result owns."""

from __future__ import annotations

import contextlib
import os


def close_all(*descriptors: int | None) -> None:
    """Close them; None, and what is closed already, is passed over."""
    for descriptor in descriptors:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
