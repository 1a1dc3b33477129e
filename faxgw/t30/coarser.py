"""A call that waits, before page 1, for its pages in a resolution that the far end takes.

The far end repeats its DIS every 3 s until T1 (35 s) ends (ITU-T T.30 sections 5.4.3.1 and 5.4.3.2): so long the
daemon may render the pages anew. The library, which would say goodbye at once, is held; the far end hears nothing,
or over G.711 silence. Either another engine begins with the new pages, or the held one says its goodbye.
"""

from __future__ import annotations

from faxgw.foip import t30_frames
from faxgw.t30 import pages
from faxgw.t30.terminal import Terminal

_Frame = tuple[float, str, bytes]


class Coarser:
    """Whether a call's pages are too fine for the far end, and how long it waits for others.

    Args:
        budget: Seconds that the daemon has for it; 0: the call does not wait.
    """

    def __init__(self, budget: float) -> None:
        self.finest = 0.0
        """The highest resolution of a page of the call, in rows per metre."""
        self.too_fine = False
        """The far end does not take it."""
        self._budget = budget
        self._until: float | None = None
        self._asked = False
        self._unsaid: list[_Frame] = []

    @property
    def waits(self) -> bool:
        """Whether the engine is held."""
        return self._until is not None

    def look(self, dis: bytes) -> tuple[str, ...]:
        """Read a DIS: what the far end takes, where it is less than the pages need and others are to be asked for.

        Empty: nobody is to be asked; the pages are taken, nobody knows, it was asked before, or there is no time.
        """
        offered = t30_frames.capabilities(dis)
        self.too_fine = offered is not None and pages.needed(self.finest) not in offered.resolutions
        if offered is None or not self.too_fine or self._budget <= 0 or self._asked:
            return ()
        return offered.resolutions

    def hold(self, engine: Terminal, now: float) -> None:
        """Freeze the engine and keep its goodbye out of the trace, for it has not been said."""
        self._asked = True
        self._until = now + self._budget
        self._unsaid = [one for one in engine.frames if one[1] == ">" and t30_frames.fcf(one[2]) == t30_frames.DCN]
        engine.frames = [one for one in engine.frames if one not in self._unsaid]
        engine.frozen = True

    def is_over(self, now: float) -> bool:
        """Whether the pages have not come in time."""
        return self._until is not None and now > self._until

    def go_on(self, engine: Terminal, now: float) -> None:
        """No coarser pages: the held engine says its goodbye now."""
        self._until = None
        engine.frames += [(now, way, frame) for _at, way, frame in self._unsaid]
        self._unsaid.clear()
        engine.release()

    def begin_again(self) -> None:
        """The pages have come; the held engine is to be replaced."""
        self._until, self.too_fine = None, False
        self._unsaid.clear()
