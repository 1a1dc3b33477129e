"""How long a test waits for what is to happen at once."""

from __future__ import annotations

PATIENCE_S = 60
"""Guards against a wait without end and proves nothing: on a loaded machine a blink may take ten seconds."""
