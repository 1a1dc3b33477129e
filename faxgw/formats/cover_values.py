"""What the placeholders of a cover page stand for: the names, their values, and the labels of three languages. Pure.

`recipient sender subject pages date comment` and those beside them are always there; the recipient's own properties
come on top, and win. The vendor's names (`ToName`, `FromName`, …) are the same facts under another name: a property
`FromName` is the `sender_name` of our designs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from faxgw.fax.header import PERSONAL, HeaderContext, expand, parse
from faxgw.formats.cover_template import Value

MAX_VALUE = 400
"""Characters of one value; the rest is cut off."""
MAX_COMMENT = 8_000
"""Characters of the comment; a longer one is not for a cover page."""
MAX_PROPERTIES = 99
"""Properties of one recipient (the vendor's `key01` to `key99`)."""
MAX_KEY = 64
"""Characters of a property's name."""

LABELS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Fax",
        "to": "To",
        "from": "From",
        "fax": "Fax number",
        "company": "Company",
        "subject": "Subject",
        "date": "Date",
        "pages": "Pages",
        "pages_note": "including this one",
        "comment": "Message",
        "telephone": "Telephone",
        "reference": "Reference",
        "fax_short": "Fax",
        "phone": "Tel.",
        "page_one": "page",
        "pages_many": "pages",
        "notice": (
            "This fax is meant for the recipient named above only. If you have received it by mistake, please tell "
            "the sender and destroy it."
        ),
    },
    "fr": {
        "title": "Télécopie",
        "to": "Destinataire",
        "from": "Expéditeur",
        "fax": "N° de fax",
        "company": "Société",
        "subject": "Objet",
        "date": "Date",
        "pages": "Pages",
        "pages_note": "y compris celle-ci",
        "comment": "Message",
        "telephone": "Téléphone",
        "reference": "Référence",
        "fax_short": "Fax",
        "phone": "Tél.",
        "page_one": "page",
        "pages_many": "pages",
        "notice": (
            "Cette télécopie est destinée au seul destinataire désigné ci-dessus. Si vous l’avez reçue par erreur, "
            "veuillez en informer l’expéditeur et la détruire."
        ),
    },
    "de": {
        "title": "Fax",
        "to": "An",
        "from": "Von",
        "fax": "Faxnummer",
        "company": "Firma",
        "subject": "Betreff",
        "date": "Datum",
        "pages": "Seiten",
        "pages_note": "einschließlich dieser",
        "comment": "Nachricht",
        "telephone": "Telefon",
        "reference": "Zeichen",
        "fax_short": "Fax",
        "phone": "Tel.",
        "page_one": "Seite",
        "pages_many": "Seiten",
        "notice": (
            "Dieses Fax ist nur für den oben genannten Empfänger bestimmt. Wenn Sie es irrtümlich erhalten haben, "
            "benachrichtigen Sie bitte den Absender und vernichten Sie es."
        ),
    },
}
"""Words of the shipped designs, `${label.to}` and so on, by language."""
_DATES = {"en": "%d %B %Y, %H:%M", "fr": "%d %B %Y à %H h %M", "de": "%d. %B %Y, %H:%M Uhr"}
_ALWAYS = (
    "recipient", "recipient_number", "sender", "sender_name", "sender_company", "sender_number", "sender_address",
    "sender_phone", "sender_mail", "subject", "pages", "body_pages", "date", "comment", "reference", "job", "language",
    "paper", "properties",
)  # fmt: skip
_VENDOR = {
    "FromName": "sender_name",
    "FromCompanyName": "sender_company",
    "FromTelNum": "sender_number",
    "ToFaxNum": "recipient_number",
    "SubjectText": "subject",
}
"""The vendor's name → ours; `ToName`, `ToCompanyName` and `SubjectTitle` are made below."""


@dataclass(frozen=True, slots=True)
class CoverFacts:
    """What is known of one recipient's fax when its cover page is made."""

    number: str
    """The recipient's number as people read it."""
    sender: str
    """Who sends: mail address or login."""
    subject: str
    pages: int
    """Pages of the fax, the cover page counted."""
    when: datetime
    """When the fax was accepted, with a zone."""
    zone: str = "UTC"
    language: str = "en"
    paper: str = "A4"
    company: str = ""
    """The sender's organisation."""
    csid: str = ""
    """The sender's number, as the far machine shows it."""
    comment: str = ""
    reference: str = ""
    job: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    """The recipient's own, and beneath them the account's."""


def values(facts: CoverFacts) -> dict[str, Value]:
    """The values of every name."""
    own = {key[:MAX_KEY]: value[:MAX_VALUE] for key, value in list(facts.properties.items())[:MAX_PROPERTIES]}
    language = facts.language if facts.language in LABELS else "en"
    words = LABELS[language]
    company = own.get("ToCompanyName", "")
    recipient = own.get("ToName", "") or company or own.get(PERSONAL, "") or facts.number
    mail = facts.sender if "@" in facts.sender else ""
    made = {
        "recipient": recipient,
        "recipient_number": facts.number,
        "sender": facts.sender,
        "sender_name": facts.sender,
        "sender_company": facts.company,
        "sender_number": facts.csid,
        "sender_address": "",
        "sender_phone": own.get("FromTelNum", ""),
        "sender_mail": mail,
        "subject": facts.subject,
        "pages": str(facts.pages),
        "body_pages": str(max(0, facts.pages - 1)),
        "date": date(facts.when, facts.zone, language),
        "reference": facts.reference,
        "job": facts.job,
        "language": language,
        "paper": facts.paper,
        "ToName": recipient if recipient != facts.number else "",
        "ToCompanyName": company,
        "SubjectTitle": words["subject"],
    }
    made |= {ours: own[theirs] for theirs, ours in _VENDOR.items() if theirs in own and theirs != "FromTelNum"}
    made = {key: value[:MAX_VALUE] for key, value in made.items()}
    made |= {theirs: made[ours] for theirs, ours in _VENDOR.items()}
    found: dict[str, Value] = {**made, "comment": facts.comment[:MAX_COMMENT], **own}
    found["properties"] = tuple({"key": key, "value": value} for key, value in own.items())
    for key, value in words.items():
        found[f"label.{key}"] = value
    return found


def known(properties: Mapping[str, str]) -> frozenset[str]:
    """Every name that has a value for a recipient with these properties."""
    labels = (f"label.{key}" for key in LABELS["en"])
    return frozenset((*_ALWAYS, *_VENDOR, "ToName", "ToCompanyName", "SubjectTitle", *labels, *properties))


def date(when: datetime, zone: str, language: str) -> str:
    """A day and time in words: 18 November 2026, 12:06."""
    (line,) = expand(parse(_DATES.get(language, _DATES["en"])), HeaderContext(when, zone=zone, language=language), 1, 1)
    said = (line.left + line.centre + line.right).removeprefix("0")
    return said.replace("1 ", "1er ", 1) if language == "fr" and said.startswith("1 ") else said


def sample(language: str = "en", paper: str = "A4", pages: int = 4) -> CoverFacts:
    """Facts for a look at a template."""
    comments = {
        "en": "Dear Ms Miller,\n\nplease find the offer we talked about on Tuesday. It holds until the end of the "
        "month.\n\nKind regards",
        "fr": "Chère Madame,\n\nveuillez trouver ci-joint l’offre évoquée mardi dernier. Elle est valable jusqu’à la "
        "fin du mois.\n\nCordialement",
        "de": "Sehr geehrte Frau Müller,\n\nanbei das am Dienstag besprochene Angebot. Es gilt bis zum Monatsende.\n"
        "\nMit freundlichen Grüßen",
    }
    names = {"en": "Ms Jane Miller", "fr": "Mme Hélène Lefèvre", "de": "Frau Jördis Müller"}
    subjects = {"en": "Offer 2026-1178", "fr": "Offre n° 2026-1178", "de": "Angebot 2026-1178"}
    language = language if language in names else "en"
    return CoverFacts(
        number="+33 1 99 00 12 34",
        sender="m.durand@example.org",
        subject=subjects[language],
        pages=pages,
        when=datetime(2026, 11, 18, 11, 6, tzinfo=UTC),
        zone="Europe/Paris",
        language=language,
        paper=paper,
        company="Exemple & Fils SARL",
        csid="+33 1 99 00 00 01",
        comment=comments[language],
        reference="AN-1178",
        properties={
            "ToName": names[language],
            "ToCompanyName": "Nordwind GmbH",
            "FromName": "Claire Durand",
            "FromTelNum": "+33 1 99 00 00 02",
            "sender_address": "12, rue de l’Exemple, 75002 Paris",
        },
    )
