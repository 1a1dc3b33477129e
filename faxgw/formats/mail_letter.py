"""What a mail of ours says, in a house's own words and colours or in the shipped ones. Pure.

The shipped designs stand in `templates/` (Jinja, ours alone; autoescape is on for HTML, and the sandbox lets them read,
not act). A customer's template is of `cover_template`'s language and sees the values that `values_of` names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar
from zoneinfo import ZoneInfo

import jinja2
import jinja2.sandbox

from faxgw.formats.cover_template import Item, Template, TemplateRefused, Value
from faxgw.formats.mail_template import CONTENT_MARK, MailTemplate, Occasion, Part, within
from faxgw.formats.outgoing_mail import Picture
from faxgw.formats.status_texts import Texts
from faxgw.formats.status_view import FaxView, LineView, Look

MAX_THUMBNAIL = 65_536
"""Octets of a thumbnail; a larger one is left out of the mail."""
MAX_FAXES_FILLED = 100
"""Faxes that a customer's template is given; those that were not delivered come first into this number."""
MAX_TEXT = 2_000_000
"""Characters of a customer's text or HTML, filled in."""
_PNG = b"\x89PNG\r\n\x1a\n"

T = TypeVar("T")

_JINJA = jinja2.sandbox.SandboxedEnvironment(
    loader=jinja2.PackageLoader("faxgw.formats"),
    autoescape=lambda name: name is not None and ".html." in name,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
PLAIN = MailTemplate()
"""The shipped designs as they are."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail about a report says, whoever gets it."""

    subject: str
    """As the shipped design has it."""
    zone: ZoneInfo
    in_reply_to: str
    marks: tuple[tuple[str, str], ...]
    """X- headers."""
    template: str
    context: Mapping[str, object]
    occasion: Occasion = Occasion.STATUS
    style: MailTemplate = PLAIN

    def title(self) -> str:
        """The Subject, in the house's words if it has some.

        Raises:
            TemplateRefused: If the house's words cannot be filled in.
        """
        own = self._own(Part.SUBJECT)
        if own is None:
            return self.subject
        name, template = own
        found = " ".join(_filled(name, template, self.values(), plain=True).split())
        if not found:
            raise within(name, TemplateRefused("empty", public="It makes an empty subject."))
        return found

    def text(self) -> str:
        """The plain text, lines ended by LF.

        Raises:
            TemplateRefused: If the house's words cannot be filled in.
        """
        shipped = _JINJA.get_template(f"{self.template}.txt.j2")
        own = self._own(Part.TEXT)
        if own is None:
            return shipped.render({**self.context, "house_lines": self._footer(), "bare": False})
        name, template = own
        values = self.values()
        values["content"] = shipped.render({**self.context, "house_lines": (), "bare": True}).strip("\n")
        found = _filled(name, template, values, plain=True).strip("\n") + "\n"
        if not found.strip():
            raise within(name, TemplateRefused("empty", public="It makes an empty text."))
        return found

    def html(self, content_id: str, logo_id: str = "") -> str:
        """The HTML; with content ids, its pictures.

        Raises:
            TemplateRefused: If the house's words cannot be filled in.
        """
        brand = self.style.brand
        shipped, shown = _JINJA.get_template(f"{self.template}.html.j2"), content_id if brand.page_picture else ""
        context = {
            **self.context,
            "content_id": shown,
            "logo_id": logo_id,
            "brand": brand,
            "house_lines": self._footer(),
            "framed": True,
        }
        own = self._own(Part.HTML)
        if own is None:
            return shipped.render(context)
        name, template = own
        found = _filled(name, template, self.values(shown, logo_id), plain=False)
        if CONTENT_MARK in found:
            content = shipped.render({**context, "framed": False})
            if len(content) * found.count(CONTENT_MARK) > MAX_TEXT:
                raise within(name, TemplateRefused("too long", public="What it makes gets too long."))
            found = found.replace(CONTENT_MARK, content)
        if not found.strip():
            raise within(name, TemplateRefused("empty", public="It makes an empty page."))
        return found.rstrip("\n") + "\n"

    def logo(self, domain: str) -> Picture | None:
        """The house's logo for the HTML part."""
        logo = self.style.brand.logo
        if logo is None:
            return None
        digest = hashlib.sha256(logo.octets).hexdigest()[:16]
        return Picture(logo.octets, f"logo.{digest}@{domain}", f"logo.{logo.subtype}", logo.subtype)

    def values(self, picture: str = "", logo: str = "") -> dict[str, Value]:
        """What a customer's part sees; with the content ids of the pictures."""
        values = values_of(self.occasion, self.words, self.context)
        values |= {
            "subject": self.subject,
            "colour": self.style.brand.colour,
            "footer": [*self._footer(), str(self.context["footer"])],
            "picture": f"cid:{picture}" if picture else "",
            "logo": f"cid:{logo}" if logo else "",
        }
        return values

    @property
    def words(self) -> Texts:
        """Of the mail's language."""
        words = self.context["words"]
        assert isinstance(words, Texts)
        return words

    def _footer(self) -> tuple[str, ...]:
        return self.style.brand.footer_in(self.words.language)

    def _own(self, part: Part) -> tuple[str, Template] | None:
        """The house's own part, and how it is called in errors."""
        found = self.style.part(self.occasion, self.words.language, part)
        return None if found is None else (f"{self.occasion}.{part}", found)


def thumbnail(png: bytes, message_id: str, domain: str) -> Picture | None:
    """Page 1 for the HTML part; None when it is none or too large."""
    if not png.startswith(_PNG) or len(png) > MAX_THUMBNAIL:
        return None
    digest = hashlib.sha256(message_id.encode()).hexdigest()[:16]
    return Picture(png, f"page1.{digest}@{domain}", "page1.png")


def mark_token(identifier: str) -> str:
    """An id of ours in a header: what is not `A-Za-z0-9_-` is dropped."""
    return "".join(c for c in identifier[:64] if c.isascii() and (c.isalnum() or c in "_-"))


def values_of(occasion: Occasion, words: Texts, context: Mapping[str, object]) -> dict[str, Value]:
    """What a customer's template sees of a mail: texts, lists of them, or of texts by name (docs/status-mails.md)."""
    values: dict[str, Value] = {
        f"label.{each.name}": found
        for each in fields(words)
        if isinstance(found := getattr(words, each.name), str) and "{" not in found
    }
    look = context["look"]
    assert isinstance(look, Look)
    values |= {
        "occasion": occasion.value,
        "language": words.language,
        "title": str(context["title"]),
        "symbol": look.symbol,
        "result_colour": look.background,
        "organisation": str(context["organisation"]),
        "rows": _pairs(context["rows"]),
    }
    match occasion:
        case Occasion.STATUS | Occasion.LIST:
            values |= _of_faxes(context)
        case Occasion.REFUSED:
            values |= {
                "result": words.result["failed"],
                "sentences": [
                    s for s in (str(context["lead"]), str(context["nothing"]), str(context["our_fault"])) if s
                ],
                "recipients": list(_texts(context["recipients"])),
                "more": f"+ {context['more']}" if context["more"] else "",
            }
        case Occasion.RECEIVED:
            values |= {
                "result": str(context["result"]),
                "sentences": list(_texts(context["sentences"])),
                "reason": str(context["reason"]),
            }
    return values


def _of_faxes(context: Mapping[str, object]) -> dict[str, Value]:
    views = _typed(context["faxes"], FaxView)
    found: dict[str, Value] = {
        "result": str(context["result"]),
        "lead": str(context["lead"]),
        "enclosed": str(context["enclosed"]),
        "more": str(context["more"]),
    }
    if context["several"]:
        lines, shown = _typed(context["overview"], LineView), {view.position: view for view in views}
        chosen = _chosen(lines)
        found["faxes"] = [_listed(line, shown.get(line.position)) for line in chosen]
        found["sentences"] = [str(context["lead"])]
        if len(chosen) < len(lines):
            found["more"] = f"+ {len(lines) - len(chosen)}. {context['more']}".rstrip()
        return found
    (view,) = views
    found["sentences"] = list(view.sentences)
    found["number"] = view.number
    found["fax_rows"] = _pairs(view.rows)
    found["attempts"] = [
        {
            "index": str(call.index), "started": call.started, "number": call.number, "result": call.result,
            "pages": call.pages, "duration": call.duration,
        }
        for call in view.attempts
    ]  # fmt: skip
    return found


def _chosen(lines: Sequence[LineView]) -> list[LineView]:
    """At most MAX_FAXES_FILLED, in their order; delivered ones give way."""
    if len(lines) <= MAX_FAXES_FILLED:
        return list(lines)
    first = sorted(lines, key=lambda line: line.look.symbol == "✓")[:MAX_FAXES_FILLED]
    kept = {line.position for line in first}
    return [line for line in lines if line.position in kept]


def _listed(line: LineView, view: FaxView | None) -> Item:
    return {
        "position": str(line.position),
        "number": line.number,
        "name": line.name,
        "result": line.result,
        "symbol": line.look.symbol,
        "colour": line.look.background,
        "confirmed": line.confirmed,
        **_details(view),
    }


def _details(view: FaxView | None) -> dict[str, str]:
    """Several lines each: `<#list fax.calls?lines as call>`; empty of a fax that is not told of one by one."""
    if view is None:
        return {"sentences": "", "details": "", "calls": ""}
    return {
        "sentences": "\n".join(view.sentences),
        "details": "\n".join(f"{label}: {value}" for label, value in view.rows),
        "calls": "\n".join(
            f"{call.index}. {call.started}, {call.number}: {call.result} ({call.pages}, {call.duration})"
            for call in view.attempts
        ),
    }


def _pairs(rows: object) -> list[Item]:
    assert isinstance(rows, (list, tuple))
    return [{"label": str(label), "value": str(value)} for label, value in rows]


def _texts(found: object) -> Sequence[str]:
    assert isinstance(found, (list, tuple))
    return [str(each) for each in found]


def _typed(found: object, kind: type[T]) -> list[T]:
    assert isinstance(found, (list, tuple))
    return [each for each in found if isinstance(each, kind)]


def _filled(name: str, template: Template, values: Mapping[str, Value], *, plain: bool) -> str:
    try:
        found = template.fill_plain(values) if plain else template.fill(values)
    except TemplateRefused as exc:
        raise within(name, exc) from exc
    if len(found) > MAX_TEXT:
        raise within(name, TemplateRefused("too long", public="What it makes gets too long."))
    return found
