"""Requests to the page processes and their results: values that both sides know. No converter is imported here.

A descriptor in a result belongs to whoever received the result; `close` closes all of one result. Descriptors in a
request stay the caller's.
"""

from faxgw.document.types.documents import OUTSIDE, Document, Kind, Mode, Origin, Paper, Reason, Refused
from faxgw.document.types.mails import (
    Cut,
    Ignored,
    Merged,
    MergedPage,
    Signed,
    SignedOptions,
    SigningKey,
    Slice,
    Sliced,
    Walked,
    WalkOptions,
)
from faxgw.document.types.pages import (
    PNG,
    Composed,
    ComposeOptions,
    Cover,
    Overlay,
    PageFacts,
    Picture,
    Progress,
    Rendered,
    RenderOptions,
)
from faxgw.document.types.received import (
    PdfMade,
    PdfOptions,
    PdfPage,
    ReadOptions,
    TiffMade,
    TiffOptions,
    TiffPart,
    WriteOptions,
    Written,
)
from faxgw.document.types.service import Conversion, Ending, PageSettings, Sandbox, Use
from faxgw.fax.resolution import Resolution

__all__ = [
    "OUTSIDE",
    "PNG",
    "ComposeOptions",
    "Composed",
    "Conversion",
    "Cover",
    "Cut",
    "Document",
    "Ending",
    "Ignored",
    "Kind",
    "Merged",
    "MergedPage",
    "Mode",
    "Origin",
    "Overlay",
    "PageFacts",
    "PageSettings",
    "Paper",
    "PdfMade",
    "PdfOptions",
    "PdfPage",
    "Picture",
    "Progress",
    "ReadOptions",
    "Reason",
    "Refused",
    "RenderOptions",
    "Rendered",
    "Resolution",
    "Sandbox",
    "Signed",
    "SignedOptions",
    "SigningKey",
    "Slice",
    "Sliced",
    "TiffMade",
    "TiffOptions",
    "TiffPart",
    "Use",
    "WalkOptions",
    "Walked",
    "WriteOptions",
    "Written",
]
