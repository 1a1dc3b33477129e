"""The parts of the gateway that stand beside its core: one module each, in the order in which they are started.

The core (daemon.py) is what no gateway can be without: store, pages, line, dispatch, mail in and mail out. Everything
else is a `Part`: a module here that says which tables of the settings it reads and how it is started. It builds its
objects of the layers below, hands them to the `House`, and knows no other part.

To add one: write `faxgw/parts/<name>.py` with `PART = Part("<name>", start, sections={…})` and name it below.
"""

from __future__ import annotations

from faxgw.parts import (
    deliveries,
    directories,
    evidence,
    files,
    junk_mail,
    keeping,
    native,
    papers,
    previews,
    reading,
    retarus,
    routing,
    templates,
    webhooks,
)
from faxgw.parts.house import Part

PARTS: tuple[Part, ...] = (
    evidence.PART,
    directories.PART,
    retarus.PART,
    native.PART,
    files.PART,
    templates.PART,
    papers.PART,
    routing.PART,
    deliveries.PART,
    webhooks.PART,
    previews.PART,
    reading.PART,
    keeping.PART,
    junk_mail.PART,
)
"""Every part, in the order of their starts."""
