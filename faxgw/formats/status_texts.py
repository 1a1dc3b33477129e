"""Words of status mails in English, French and German: labels, results, sentences, times and durations.

Only words and their grammar; what is said when is decided in `status_mail`. Causes have a table of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. `{…}` are filled by `str.format` with numbers and cleaned texts."""

    language: str
    """BCP 47 tag, for the HTML's `lang`."""
    colon: str
    """What follows a label: `: `, in French with a no-break space before it."""
    thousands: str
    """Separator of digit groups."""
    months: tuple[str, ...]
    """Twelve, abbreviated."""
    date: str
    """Of day, month and year."""
    minute_unit: str
    pages: tuple[str, str]
    """One, and `{n}` many."""
    faxes: tuple[str, str]
    fewer_than_two_is_one: bool
    """Grammar of zero: French says `0 page`."""

    result: Mapping[str, str]
    """Verdict → the words of the result, also the first words of a subject."""
    counted: Mapping[str, str]
    """Verdict → `{n} delivered` in a list of counts."""

    subject_delivered: str
    subject_failed: str
    subject_failed_without_pages: str
    subject_partly: str
    subject_in_doubt: str
    subject_going_on: str
    """Appended when the fax is sent again by policy."""
    subject_cancelled: str
    subject_open: str
    subject_alike: str
    """All faxes of a job have the same result."""
    subject_mixed: str
    subject_refused: str

    sentence_delivered: tuple[str, str]
    sentence_partly: str
    sentence_failed: str
    sentence_in_doubt: str
    sentence_in_doubt_pages: str
    sentence_in_doubt_page: str
    """Which page may have arrived."""
    sentence_again: str
    """By policy the fax goes on."""
    again_advice: str
    sentence_cancelled: str
    sentence_expired: str
    sentence_open: str
    sentence_doubtful: str
    """A page that may have arrived although the fax failed before its end."""
    sentence_several: str

    last_cause: str
    """Before the cause of an expired fax's last call."""
    recipient: str
    as_typed: str
    """`(you wrote: {typed})`"""
    result_label: str
    cause_label: str
    advice_label: str
    pages_confirmed: str
    n_of_m: str
    pages_not_made: str
    doubtful_label: str
    doubtful_page: str
    call_started: str
    call_ended: str
    closed: str
    duration: str
    far_end: str
    attempts: str
    no_attempt: str
    small_print: str
    audio: str
    ecm: str
    no_ecm: str
    reason: str
    attempt_started: str
    attempt_result: str
    attempt_pages: str
    number: str
    overview: str
    more_faxes: str
    details_left_out: str
    your_mail: str
    accepted: str
    finished: str
    your_reference: str
    meant_for: str
    reference: str
    resent_of: str
    identifiers: str
    fax_id: str
    not_faxed: str
    """Label of the parts of a mail that are left out."""
    not_faxed_why: Mapping[str, str]
    """LeftOutReason → a few words, in parentheses after the part's name."""
    not_faxed_more: str
    thumbnail: str
    footer: str

    refused_lead: str
    refused_our_fault: str
    refused_recipients: str
    refused_received: str
    refused_nothing: str
    refused_nothing_at_all: str

    def count(self, forms: tuple[str, str], n: int) -> str:
        """`1 page`, `3 pages`."""
        one = n == 1 or (n == 0 and self.fewer_than_two_is_one)
        return forms[0 if one else 1].format(n=self.whole(n))

    def whole(self, n: int) -> str:
        """A number with its digits in groups of three."""
        return f"{n:,}".replace(",", self.thousands)

    def moment(self, at: float, zone: ZoneInfo) -> str:
        """`21 Nov 2026, 14:03:07 CET (UTC+01:00)` of Unix seconds."""
        when = datetime.fromtimestamp(at, zone)
        day = self.date.format(day=when.day, month=self.months[when.month - 1], year=when.year)
        offset = when.strftime("%z")
        utc = f"UTC{offset[:3]}:{offset[3:5]}"
        name = when.tzname() or ""
        shown = f"{name} ({utc})" if name.isalpha() and name != "UTC" else utc
        return f"{day}, {when:%H:%M:%S} {'UTC' if zone.key == 'UTC' else shown}"

    def span(self, seconds: float) -> str:
        """`42 s`, `1 min 02 s`, `1 h 02 min 03 s`."""
        whole = max(0, round(seconds))
        hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
        if hours:
            return f"{hours} h {minutes:02} {self.minute_unit} {rest:02} s"
        return f"{minutes} {self.minute_unit} {rest:02} s" if minutes else f"{rest} s"


def zone_named(key: str) -> ZoneInfo:
    """The time zone, UTC when there is none of that name."""
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


ENGLISH = Texts(
    language="en",
    colon=": ",
    thousands=",",
    months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    date="{day} {month} {year}",
    minute_unit="min",
    pages=("{n} page", "{n} pages"),
    faxes=("{n} fax", "{n} faxes"),
    fewer_than_two_is_one=False,
    result={
        "delivered": "Delivered",
        "partly": "Partly delivered",
        "in_doubt": "In doubt",
        "failed": "Not delivered",
        "expired": "Not delivered",
        "cancelled": "Cancelled",
        "open": "Under way",
    },
    counted={
        "delivered": "{n} delivered",
        "partly": "{n} delivered in part",
        "in_doubt": "{n} in doubt",
        "failed": "{n} not delivered",
        "expired": "{n} not delivered in time",
        "cancelled": "{n} cancelled",
        "open": "{n} under way",
    },
    subject_delivered="Delivered: {pages} to {number}",
    subject_failed="Not delivered: {cause}: {pages} to {number}",
    subject_failed_without_pages="Not delivered: {cause}: {number}",
    subject_partly="Partly delivered: {k} of {pages} to {number}: {cause}",
    subject_in_doubt="In doubt: {k} of {pages} confirmed to {number}, may have arrived",
    subject_going_on=", being sent again",
    subject_cancelled="Cancelled: fax to {number}",
    subject_open="Under way: fax to {number}",
    subject_alike="{result}: {faxes}",
    subject_mixed="{result}: {faxes}: {counts}",
    subject_refused="Not faxed: your mail was not turned into a fax",
    sentence_delivered=(
        "The page was delivered and confirmed by the far end.",
        "All {n} pages were delivered and confirmed by the far end.",
    ),
    sentence_partly="Pages confirmed: only {k} of {n}; the fax did not arrive complete.",
    sentence_failed="The fax was not delivered.",
    sentence_in_doubt="It is not known whether the fax arrived complete.",
    sentence_in_doubt_pages="Pages confirmed: {k} of {n}.",
    sentence_in_doubt_page="Page {n} may have arrived without our knowing it.",
    sentence_again="The gateway was interrupted during the transmission: the fax may have arrived.",
    again_advice=(
        "The fax is being sent again; repeated pages bear the words POSSIBLE DUPLICATE. You will be told the result."
    ),
    sentence_cancelled="The fax was cancelled before it was delivered.",
    sentence_expired="The fax was not delivered before its latest time.",
    sentence_open="The fax is still under way; you will be told the result.",
    sentence_doubtful="Page {n} may have arrived although it was not confirmed.",
    sentence_several="Results of your {faxes}: {counts}.",
    last_cause="The last call: {cause}",
    recipient="To",
    as_typed="(you wrote: {typed})",
    result_label="Result",
    cause_label="Cause",
    advice_label="What to do",
    pages_confirmed="Pages confirmed",
    n_of_m="{k} of {n}",
    pages_not_made="none (no pages were made)",
    doubtful_label="In doubt",
    doubtful_page="page {n}",
    call_started="Call started",
    call_ended="Call ended",
    closed="Closed",
    duration="Duration",
    far_end="Far end's identification",
    attempts="Calls",
    no_attempt="none: the number was not dialled",
    small_print="Transmission",
    audio="G.711 audio",
    ecm="error correction (ECM)",
    no_ecm="no error correction",
    reason="Reason",
    attempt_started="Started",
    attempt_result="Result",
    attempt_pages="Pages",
    number="Number",
    overview="All faxes in the order you gave",
    more_faxes="… and {faxes} more, not listed here: {counts}.",
    details_left_out="Details follow for {faxes} not confirmed as delivered; all results stand in the table attached.",
    your_mail="Your mail",
    accepted="Accepted",
    finished="Finished",
    your_reference="Your reference",
    meant_for="For",
    reference="Billing reference",
    resent_of="Resend of",
    identifiers="Job",
    fax_id="Fax",
    not_faxed="Not faxed",
    not_faxed_why={
        "calendar": "calendar entry",
        "business_card": "business card",
        "empty": "empty",
        "small_image": "very small picture",
        "settings": "attachments are not faxed by your settings",
    },
    not_faxed_more="and {n} more",
    thumbnail="Page 1 of the fax",
    footer="This is an automatic message of {organisation}.",
    refused_lead="Your mail was received, but it was not turned into a fax.",
    refused_our_fault=(
        "The fault is the gateway's, not yours: your mail is kept and the operator of the gateway has been alerted."
    ),
    refused_recipients="Meant for",
    refused_received="Received",
    refused_nothing="Nothing was sent to these numbers.",
    refused_nothing_at_all="Nothing was sent.",
)

FRENCH = Texts(
    language="fr",
    colon="\u00a0: ",
    thousands="\u202f",
    months=("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
    date="{day} {month} {year}",
    minute_unit="min",
    pages=("{n} page", "{n} pages"),
    faxes=("{n} fax", "{n} fax"),
    fewer_than_two_is_one=True,
    result={
        "delivered": "Remis",
        "partly": "Remis en partie",
        "in_doubt": "Incertain",
        "failed": "Non remis",
        "expired": "Non remis",
        "cancelled": "Annulé",
        "open": "En cours",
    },
    counted={
        "delivered": "{n} remis",
        "partly": "{n} remis en partie",
        "in_doubt": "{n} incertain(s)",
        "failed": "{n} non remis",
        "expired": "{n} non remis dans le délai",
        "cancelled": "{n} annulé(s)",
        "open": "{n} en cours",
    },
    subject_delivered="Remis : {pages} au {number}",
    subject_failed="Non remis : {cause} : {pages} au {number}",
    subject_failed_without_pages="Non remis : {cause} : {number}",
    subject_partly="Remis en partie : {k} sur {pages} au {number} : {cause}",
    subject_in_doubt="Incertain : {k} sur {pages} confirmées au {number}, peut-être arrivé",
    subject_going_on=", renvoi en cours",
    subject_cancelled="Annulé : fax au {number}",
    subject_open="En cours : fax au {number}",
    subject_alike="{result} : {faxes}",
    subject_mixed="{result} : {faxes} : {counts}",
    subject_refused="Non faxé : votre message n'a pas été converti en fax",
    sentence_delivered=(
        "La page a été remise et confirmée par le correspondant.",
        "Les {n} pages ont été remises et confirmées par le correspondant.",
    ),
    sentence_partly="Pages confirmées : {k} sur {n} seulement ; le fax n'est pas arrivé complet.",
    sentence_failed="Le fax n'a pas été remis.",
    sentence_in_doubt="On ne sait pas si le fax est arrivé complet.",
    sentence_in_doubt_pages="Pages confirmées : {k} sur {n}.",
    sentence_in_doubt_page="La page {n} est peut-être arrivée à notre insu.",
    sentence_again="La passerelle a été interrompue pendant la transmission : le fax est peut-être arrivé.",
    again_advice=(
        "Le fax est renvoyé ; les pages répétées portent la mention POSSIBLE DUPLICATE (double possible). "
        "Vous serez informé du résultat."
    ),
    sentence_cancelled="Le fax a été annulé avant d'être remis.",
    sentence_expired="Le fax n'a pas été remis dans le délai fixé.",
    sentence_open="Le fax est encore en cours ; vous serez informé du résultat.",
    sentence_doubtful="La page {n} est peut-être arrivée, bien qu'elle n'ait pas été confirmée.",
    sentence_several="Résultats de vos {faxes} : {counts}.",
    last_cause="Dernier appel : {cause}",
    recipient="À",
    as_typed="(vous avez écrit : {typed})",
    result_label="Résultat",
    cause_label="Cause",
    advice_label="Que faire",
    pages_confirmed="Pages confirmées",
    n_of_m="{k} sur {n}",
    pages_not_made="aucune (aucune page n'a été produite)",
    doubtful_label="Incertain",
    doubtful_page="page {n}",
    call_started="Début de l'appel",
    call_ended="Fin de l'appel",
    closed="Clos",
    duration="Durée",
    far_end="Identifiant du correspondant",
    attempts="Appels",
    no_attempt="aucun : le numéro n'a pas été composé",
    small_print="Transmission",
    audio="audio G.711",
    ecm="correction d'erreurs (ECM)",
    no_ecm="sans correction d'erreurs",
    reason="Motif",
    attempt_started="Début",
    attempt_result="Résultat",
    attempt_pages="Pages",
    number="Numéro",
    overview="Tous les fax, dans l'ordre que vous avez donné",
    more_faxes="… et encore {faxes}, non énumérés ici : {counts}.",
    details_left_out="Détails de {faxes} sans remise confirmée ; tous les résultats figurent dans le tableau joint.",
    your_mail="Votre message",
    accepted="Accepté",
    finished="Terminé",
    your_reference="Votre référence",
    meant_for="Pour",
    reference="Référence de facturation",
    resent_of="Renvoi de",
    identifiers="Envoi",
    fax_id="Fax",
    not_faxed="Non faxé",
    not_faxed_why={
        "calendar": "entrée d'agenda",
        "business_card": "carte de visite",
        "empty": "vide",
        "small_image": "très petite image",
        "settings": "vos réglages excluent les pièces jointes",
    },
    not_faxed_more="et {n} de plus",
    thumbnail="Page 1 du fax",
    footer="Ceci est un message automatique de {organisation}.",
    refused_lead="Votre message a été reçu, mais il n'a pas été converti en fax.",
    refused_our_fault=(
        "La faute en revient à la passerelle, non à vous : votre message est conservé "
        "et l'exploitant de la passerelle a été alerté."
    ),
    refused_recipients="Destiné à",
    refused_received="Reçu",
    refused_nothing="Rien n'a été envoyé à ces numéros.",
    refused_nothing_at_all="Rien n'a été envoyé.",
)

GERMAN = Texts(
    language="de",
    colon=": ",
    thousands=".",
    months=("Jan.", "Feb.", "März", "April", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
    date="{day}. {month} {year}",
    minute_unit="Min.",
    pages=("{n} Seite", "{n} Seiten"),
    faxes=("{n} Fax", "{n} Faxe"),
    fewer_than_two_is_one=False,
    result={
        "delivered": "Zugestellt",
        "partly": "Teilweise zugestellt",
        "in_doubt": "Ungewiss",
        "failed": "Nicht zugestellt",
        "expired": "Nicht zugestellt",
        "cancelled": "Abgebrochen",
        "open": "Unterwegs",
    },
    counted={
        "delivered": "{n} zugestellt",
        "partly": "{n} teilweise zugestellt",
        "in_doubt": "{n} ungewiss",
        "failed": "{n} nicht zugestellt",
        "expired": "{n} nicht rechtzeitig zugestellt",
        "cancelled": "{n} abgebrochen",
        "open": "{n} unterwegs",
    },
    subject_delivered="Zugestellt: {pages} an {number}",
    subject_failed="Nicht zugestellt: {cause}: {pages} an {number}",
    subject_failed_without_pages="Nicht zugestellt: {cause}: {number}",
    subject_partly="Teilweise zugestellt: {k} von {pages} an {number}: {cause}",
    subject_in_doubt="Ungewiss: {k} von {pages} an {number} bestätigt, vielleicht angekommen",
    subject_going_on=", wird noch einmal gesendet",
    subject_cancelled="Abgebrochen: Fax an {number}",
    subject_open="Unterwegs: Fax an {number}",
    subject_alike="{result}: {faxes}",
    subject_mixed="{result}: {faxes}: {counts}",
    subject_refused="Nicht gefaxt: Ihre Mail wurde nicht in ein Fax umgewandelt",
    sentence_delivered=(
        "Die Seite wurde zugestellt und von der Gegenstelle bestätigt.",
        "Alle {n} Seiten wurden zugestellt und von der Gegenstelle bestätigt.",
    ),
    sentence_partly="Bestätigte Seiten: nur {k} von {n}; das Fax ist nicht vollständig angekommen.",
    sentence_failed="Das Fax wurde nicht zugestellt.",
    sentence_in_doubt="Es ist nicht bekannt, ob das Fax vollständig angekommen ist.",
    sentence_in_doubt_pages="Bestätigte Seiten: {k} von {n}.",
    sentence_in_doubt_page="Seite {n} ist vielleicht angekommen, ohne dass wir davon wissen.",
    sentence_again="Das Gateway wurde während der Übertragung unterbrochen: Das Fax ist vielleicht angekommen.",
    again_advice=(
        "Das Fax wird noch einmal gesendet; wiederholte Seiten tragen den Vermerk POSSIBLE DUPLICATE "
        "(vielleicht doppelt). Sie erfahren das Ergebnis."
    ),
    sentence_cancelled="Das Fax wurde abgebrochen, bevor es zugestellt war.",
    sentence_expired="Das Fax wurde nicht innerhalb seiner Frist zugestellt.",
    sentence_open="Das Fax ist noch unterwegs; Sie erfahren das Ergebnis.",
    sentence_doubtful="Seite {n} ist vielleicht angekommen, obwohl sie nicht bestätigt wurde.",
    sentence_several="Ergebnis für Ihre {faxes}: {counts}.",
    last_cause="Der letzte Anruf: {cause}",
    recipient="An",
    as_typed="(Ihre Eingabe: {typed})",
    result_label="Ergebnis",
    cause_label="Ursache",
    advice_label="Was tun",
    pages_confirmed="Bestätigte Seiten",
    n_of_m="{k} von {n}",
    pages_not_made="keine (es entstanden keine Seiten)",
    doubtful_label="Ungewiss",
    doubtful_page="Seite {n}",
    call_started="Anruf begonnen",
    call_ended="Anruf beendet",
    closed="Abgeschlossen",
    duration="Dauer",
    far_end="Kennung der Gegenstelle",
    attempts="Anrufe",
    no_attempt="keiner: Die Nummer wurde nicht gewählt",
    small_print="Übertragung",
    audio="G.711-Audio",
    ecm="Fehlerkorrektur (ECM)",
    no_ecm="ohne Fehlerkorrektur",
    reason="Grund",
    attempt_started="Begonnen",
    attempt_result="Ergebnis",
    attempt_pages="Seiten",
    number="Nummer",
    overview="Alle Faxe in der von Ihnen angegebenen Reihenfolge",
    more_faxes="… und {faxes} mehr, hier nicht aufgeführt: {counts}.",
    details_left_out="Einzelheiten zu {faxes} ohne bestätigte Zustellung; alle Ergebnisse stehen im Anhang.",
    your_mail="Ihre Mail",
    accepted="Angenommen",
    finished="Abgeschlossen",
    your_reference="Ihre Referenz",
    meant_for="Für",
    reference="Abrechnungskennzeichen",
    resent_of="Wiederholung von",
    identifiers="Auftrag",
    fax_id="Fax",
    not_faxed="Nicht gefaxt",
    not_faxed_why={
        "calendar": "Kalendereintrag",
        "business_card": "Visitenkarte",
        "empty": "leer",
        "small_image": "sehr kleines Bild",
        "settings": "Anhänge werden nach Ihren Einstellungen nicht gefaxt",
    },
    not_faxed_more="und {n} weitere",
    thumbnail="Seite 1 des Faxes",
    footer="Dies ist eine automatische Nachricht von {organisation}.",
    refused_lead="Ihre Mail wurde angenommen, aber nicht in ein Fax umgewandelt.",
    refused_our_fault=(
        "Der Fehler liegt beim Gateway, nicht bei Ihnen: Ihre Mail ist aufbewahrt, "
        "und der Betreiber des Gateways wurde alarmiert."
    ),
    refused_recipients="Bestimmt für",
    refused_received="Eingegangen",
    refused_nothing="An diese Nummern wurde nichts gesendet.",
    refused_nothing_at_all="Es wurde nichts gesendet.",
)

TEXTS: Mapping[str, Texts] = {"en": ENGLISH, "fr": FRENCH, "de": GERMAN}
"""Language → texts."""
