"""What a process has loaded by the end of its start is not looked through for garbage ever again.

CPython's collector of cycles stops every thread of the process while it looks. Some 170,000 objects are there when the
gateway has started (modules, classes, statements, settings), and they stay until it ends; a full collection goes
through all of them, 100 to 200 ms on one core, and thousands of recipients that arrive in one request bring one about.
For so long no page gate is answered and no MCF leaves (docs/spine.md section 7). Set aside, they cost a collection
nothing, and it lasts as long as what has come since is large.
"""

from __future__ import annotations

import gc


def set_aside() -> None:
    """Collect what is garbage by now, and leave all that is there alone from now on; to be called once, when started.

    An object set aside goes as ever when its last reference goes; only cycles among those are kept.
    """
    gc.collect()
    gc.freeze()
