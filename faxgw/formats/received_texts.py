"""Words of the mails that bring received faxes, in English, French and German."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReceivedTexts:
    """One language. `{…}` are filled by `str.format` with numbers and cleaned texts."""

    complete: str
    """The result in a word or two."""
    partial: str
    subject_complete: str
    subject_partial: str
    unknown_caller: str
    lead_complete: tuple[str, str]
    """One page, and many."""
    lead_partial: tuple[str, str]
    partial_advice: str
    as_pdf: str
    as_tiff: str
    unconfirmed: str
    bad_rows: str
    again: str
    no_owner: str
    undeliverable: str
    sealed: str
    kept_back: str
    sender: str
    caller: str
    caller_name: str
    number: str
    received: str
    pages: str
    quality: str
    fine: str
    standard: str
    identifier: str
    thumbnail: str


ENGLISH = ReceivedTexts(
    complete="Received",
    partial="Incomplete",
    subject_complete="Fax from {who} to {number}: {pages}",
    subject_partial="Incomplete fax from {who} to {number}: {pages}",
    unknown_caller="unknown caller",
    lead_complete=("A fax of one page has arrived.", "A fax of {n} pages has arrived."),
    lead_partial=(
        "The transmission broke off: only one page has arrived.",
        "The transmission broke off: only {n} pages have arrived.",
    ),
    partial_advice="The sender's machine has probably reported an error; the fax may come again.",
    as_pdf="It is attached as PDF.",
    as_tiff="No PDF could be made of it; the pages are attached as TIFF files, as they came.",
    unconfirmed="Not known to the sender as arrived, and perhaps sent again: page {pages}.",
    bad_rows="Noise on the line has damaged {n} rows.",
    again="It may be the same as the fax {fax}, of whose arrival the sender was perhaps not told.",
    no_owner="You get this fax because the number {number} has no mailbox of its own.",
    undeliverable="You get this fax because it could not be delivered to {target}.",
    sealed="You are told of this fax because it could not be delivered to {target}, where it was to go encrypted.",
    kept_back="Its pages are not in this mail: they may leave encrypted alone. The gateway keeps them under the number "
    "below, where they can be fetched, or delivered once more when the fault is mended.",
    sender="Sender's identification",
    caller="Caller's number",
    caller_name="Caller's name",
    number="To",
    received="Received",
    pages="Pages",
    quality="Resolution",
    fine="fine",
    standard="standard",
    identifier="Fax",
    thumbnail="Page 1 of the fax",
)

FRENCH = ReceivedTexts(
    complete="Reçu",
    partial="Incomplet",
    subject_complete="Fax de {who} au {number} : {pages}",
    subject_partial="Fax incomplet de {who} au {number} : {pages}",
    unknown_caller="appelant inconnu",
    lead_complete=("Un fax d'une page est arrivé.", "Un fax de {n} pages est arrivé."),
    lead_partial=(
        "La transmission a été interrompue : une seule page est arrivée.",
        "La transmission a été interrompue : {n} pages seulement sont arrivées.",
    ),
    partial_advice="L'appareil de l'expéditeur a sans doute signalé une erreur ; le fax sera peut-être renvoyé.",
    as_pdf="Il est joint en PDF.",
    as_tiff="Aucun PDF n'a pu en être fait ; les pages sont jointes en fichiers TIFF, telles qu'elles sont arrivées.",
    unconfirmed="Page dont l'expéditeur ignore l'arrivée et qu'il renverra peut-être : {pages}.",
    bad_rows="Des parasites sur la ligne ont abîmé {n} lignes.",
    again="C'est peut-être le même que le fax {fax}, dont l'expéditeur ignore peut-être l'arrivée.",
    no_owner="Vous recevez ce fax parce que le numéro {number} n'a pas de boîte aux lettres.",
    undeliverable="Vous recevez ce fax parce qu'il n'a pas pu être remis à {target}.",
    sealed="Vous êtes averti de ce fax parce qu'il n'a pas pu être remis à {target}, où il devait arriver chiffré.",
    kept_back="Ses pages ne sont pas dans ce message : elles ne peuvent partir que chiffrées. La passerelle les garde "
    "sous le numéro ci-dessous ; elles peuvent y être retirées, ou remises de nouveau une fois le défaut corrigé.",
    sender="Identifiant de l'expéditeur",
    caller="Numéro de l'appelant",
    caller_name="Nom de l'appelant",
    number="À",
    received="Reçu",
    pages="Pages",
    quality="Résolution",
    fine="fine",
    standard="standard",
    identifier="Fax",
    thumbnail="Page 1 du fax",
)

GERMAN = ReceivedTexts(
    complete="Empfangen",
    partial="Unvollständig",
    subject_complete="Fax von {who} an {number}: {pages}",
    subject_partial="Unvollständiges Fax von {who} an {number}: {pages}",
    unknown_caller="unbekanntem Anrufer",
    lead_complete=("Ein Fax von einer Seite ist eingegangen.", "Ein Fax von {n} Seiten ist eingegangen."),
    lead_partial=(
        "Die Übertragung brach ab: Nur eine Seite ist eingegangen.",
        "Die Übertragung brach ab: Nur {n} Seiten sind eingegangen.",
    ),
    partial_advice="Das Gerät des Absenders hat wohl einen Fehler gemeldet; das Fax kommt vielleicht noch einmal.",
    as_pdf="Es hängt als PDF an.",
    as_tiff="Es ließ sich kein PDF daraus machen; die Seiten hängen als TIFF-Dateien an, wie sie ankamen.",
    unconfirmed="Dem Absender nicht als angekommen bekannt und vielleicht noch einmal gesendet: Seite {pages}.",
    bad_rows="Störungen auf der Leitung haben {n} Zeilen beschädigt.",
    again="Es ist vielleicht dasselbe wie das Fax {fax}, von dessen Ankunft der Absender vielleicht nicht erfuhr.",
    no_owner="Sie bekommen dieses Fax, weil die Nummer {number} kein eigenes Postfach hat.",
    undeliverable="Sie bekommen dieses Fax, weil es {target} nicht zugestellt werden konnte.",
    sealed="Sie erfahren von diesem Fax, weil es {target} nicht zugestellt werden konnte, wo es verschlüsselt ankommen "
    "sollte.",
    kept_back="Seine Seiten sind nicht in dieser Mail: Sie dürfen nur verschlüsselt hinaus. Das Gateway bewahrt sie "
    "unter der unten genannten Kennung auf; dort können sie abgeholt oder, ist der Fehler behoben, noch einmal "
    "zugestellt werden.",
    sender="Kennung des Absenders",
    caller="Nummer des Anrufers",
    caller_name="Name des Anrufers",
    number="An",
    received="Empfangen",
    pages="Seiten",
    quality="Auflösung",
    fine="fein",
    standard="normal",
    identifier="Fax",
    thumbnail="Seite 1 des Faxes",
)

RECEIVED_TEXTS: Mapping[str, ReceivedTexts] = {"en": ENGLISH, "fr": FRENCH, "de": GERMAN}
"""By language."""
