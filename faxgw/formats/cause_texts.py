"""What a cause is called in a mail to the sender, in English, French and German.

English sentences and advice are those of `faxgw.fax.outcome`; here are the short form for a subject and the
translations. A test holds every table to the same set of causes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faxgw.fax.outcome import Cause


@dataclass(frozen=True, slots=True)
class CauseText:
    """A cause in one language."""

    short: str
    """For a subject, lower case: `busy`."""
    text: str
    """One sentence."""
    advice: str = ""
    """What the sender can do; may be empty."""


_ENGLISH_SHORT: Mapping[Cause, str] = {
    Cause.OK: "delivered",
    Cause.BUSY: "busy",
    Cause.NO_ANSWER: "no answer",
    Cause.REJECTED: "call rejected",
    Cause.WRONG_NUMBER: "number not assigned",
    Cause.NUMBER_CHANGED: "number changed",
    Cause.NUMBER_REFUSED: "number refused by the carrier",
    Cause.CARRIER_FAULT: "telephone network fault",
    Cause.NO_ROUTE: "no line available",
    Cause.PERSON: "answered by a person",
    Cause.NO_FAX_TONE: "no fax machine heard",
    Cause.HUNG_UP_BEFORE_FAX: "no fax machine heard",
    Cause.NO_COMMON_MODE: "no common transmission mode",
    Cause.TRAINING_FAILED: "line too poor",
    Cause.REMOTE_HUNG_UP: "far end hung up",
    Cause.PAGE_NOT_CONFIRMED: "page not confirmed",
    Cause.LAST_PAGE_NOT_CONFIRMED: "last page not confirmed",
    Cause.BAD_LINES: "too many bad lines",
    Cause.PROTOCOL_ERROR: "fax protocol error",
    Cause.MEDIA_LOST: "connection interrupted",
    Cause.LINE_FAULT: "fault of the gateway's line",
    Cause.DOCUMENT_DAMAGED: "stored document damaged",
    Cause.RENDERING_FAILED: "document cannot be faxed",
    Cause.NOTHING_TO_SEND: "nothing to send",
    Cause.DENY_LIST: "number on a deny list",
    Cause.CANCELLED: "cancelled",
    Cause.EXPIRED: "latest time passed",
    Cause.IN_DOUBT: "gateway interrupted",
    Cause.CEILING: "tries used up",
}

_FRENCH: Mapping[Cause, CauseText] = {
    Cause.OK: CauseText("remis", "Toutes les pages ont été remises et confirmées."),
    Cause.BUSY: CauseText("occupé", "Le numéro était occupé.", "Réessayez plus tard."),
    Cause.NO_ANSWER: CauseText(
        "pas de réponse",
        "Personne n'a répondu à l'appel.",
        "Le télécopieur est peut-être éteint ou manque de papier.",
    ),
    Cause.REJECTED: CauseText(
        "appel refusé", "Le correspondant a refusé l'appel.", "Renseignez-vous auprès du destinataire."
    ),
    Cause.WRONG_NUMBER: CauseText(
        "numéro non attribué", "Le numéro n'est pas attribué.", "Vérifiez le numéro ; il ne sera plus composé."
    ),
    Cause.NUMBER_CHANGED: CauseText(
        "numéro changé", "Le numéro a changé.", "Demandez le nouveau numéro au destinataire."
    ),
    Cause.NUMBER_REFUSED: CauseText(
        "numéro refusé par l'opérateur",
        "L'opérateur refuse ce numéro : il est invalide ou incomplet.",
        "Vérifiez le numéro.",
    ),
    Cause.CARRIER_FAULT: CauseText(
        "défaut du réseau téléphonique",
        "Le réseau téléphonique n'a pas pu établir l'appel.",
        "Ce défaut est le plus souvent passager.",
    ),
    Cause.NO_ROUTE: CauseText(
        "aucune ligne disponible",
        "Aucune ligne téléphonique n'était disponible pour ce numéro.",
        "Prévenez votre administrateur.",
    ),
    Cause.PERSON: CauseText(
        "une personne a répondu",
        "Une personne ou un répondeur a pris l'appel, et non un télécopieur.",
        "Vérifiez le numéro.",
    ),
    Cause.NO_FAX_TONE: CauseText(
        "aucun télécopieur entendu", "L'appel a abouti, mais aucun télécopieur ne s'est annoncé.", "Vérifiez le numéro."
    ),
    Cause.HUNG_UP_BEFORE_FAX: CauseText(
        "aucun télécopieur entendu",
        "L'appel a abouti, puis a été coupé avant qu'un télécopieur ne s'annonce.",
        "Vérifiez le numéro.",
    ),
    Cause.NO_COMMON_MODE: CauseText(
        "aucun mode de transmission commun",
        "Les deux télécopieurs n'ont trouvé aucun mode de transmission commun.",
    ),
    Cause.TRAINING_FAILED: CauseText(
        "ligne trop mauvaise", "La ligne était trop mauvaise pour convenir d'une vitesse."
    ),
    Cause.REMOTE_HUNG_UP: CauseText(
        "le correspondant a raccroché", "Le correspondant a raccroché pendant la transmission."
    ),
    Cause.PAGE_NOT_CONFIRMED: CauseText(
        "page non confirmée", "Le correspondant n'a pas confirmé une page ; il manque peut-être de papier."
    ),
    Cause.LAST_PAGE_NOT_CONFIRMED: CauseText(
        "dernière page non confirmée",
        "Toutes les pages ont été envoyées, mais le correspondant n'a pas confirmé la dernière : "
        "elle est peut-être arrivée.",
        "Renseignez-vous auprès du destinataire.",
    ),
    Cause.BAD_LINES: CauseText(
        "trop de lignes défectueuses", "Le correspondant a signalé trop de lignes défectueuses."
    ),
    Cause.PROTOCOL_ERROR: CauseText(
        "erreur de protocole", "Le correspondant n'a pas respecté le protocole de télécopie."
    ),
    Cause.MEDIA_LOST: CauseText("liaison interrompue", "La liaison a été interrompue."),
    Cause.LINE_FAULT: CauseText("défaut de ligne de la passerelle", "L'équipement de ligne de la passerelle a failli."),
    Cause.DOCUMENT_DAMAGED: CauseText(
        "document conservé endommagé",
        "Le document conservé était endommagé et n'a pas été envoyé.",
        "Envoyez-le de nouveau.",
    ),
    Cause.RENDERING_FAILED: CauseText(
        "document impossible à télécopier", "Le document n'a pas pu être converti en pages de télécopie."
    ),
    Cause.NOTHING_TO_SEND: CauseText("rien à envoyer", "Il n'y avait rien à envoyer."),
    Cause.DENY_LIST: CauseText(
        "numéro sur liste d'exclusion", "Le numéro figure sur une liste d'exclusion et n'a pas été composé."
    ),
    Cause.CANCELLED: CauseText("annulé", "La télécopie a été annulée."),
    Cause.EXPIRED: CauseText("délai dépassé", "Le délai fixé pour cette télécopie est dépassé."),
    Cause.IN_DOUBT: CauseText(
        "passerelle interrompue",
        "La passerelle a été interrompue pendant la transmission : la télécopie est peut-être arrivée. "
        "L'envoi n'a pas été répété.",
        "Renseignez-vous auprès du destinataire avant de la renvoyer.",
    ),
    Cause.CEILING: CauseText("essais épuisés", "Le nombre d'essais autorisés pour cette télécopie est épuisé."),
}

_GERMAN: Mapping[Cause, CauseText] = {
    Cause.OK: CauseText("zugestellt", "Alle Seiten wurden zugestellt und bestätigt."),
    Cause.BUSY: CauseText("besetzt", "Die Nummer war besetzt.", "Versuchen Sie es später noch einmal."),
    Cause.NO_ANSWER: CauseText(
        "keine Antwort",
        "Niemand hat den Anruf angenommen.",
        "Vielleicht ist das Gerät ausgeschaltet oder hat kein Papier.",
    ),
    Cause.REJECTED: CauseText(
        "Anruf abgelehnt", "Die Gegenstelle hat den Anruf abgelehnt.", "Fragen Sie den Empfänger."
    ),
    Cause.WRONG_NUMBER: CauseText(
        "Nummer nicht vergeben",
        "Die Nummer ist nicht vergeben.",
        "Prüfen Sie die Nummer; sie wird nicht noch einmal gewählt.",
    ),
    Cause.NUMBER_CHANGED: CauseText(
        "Nummer geändert", "Die Nummer hat sich geändert.", "Fragen Sie den Empfänger nach der neuen Nummer."
    ),
    Cause.NUMBER_REFUSED: CauseText(
        "Nummer vom Netz abgewiesen",
        "Der Netzbetreiber weist diese Nummer ab: Sie ist ungültig oder unvollständig.",
        "Prüfen Sie die Nummer.",
    ),
    Cause.CARRIER_FAULT: CauseText(
        "Störung im Telefonnetz",
        "Das Telefonnetz konnte den Anruf nicht aufbauen.",
        "Das ist meist vorübergehend.",
    ),
    Cause.NO_ROUTE: CauseText(
        "keine Leitung verfügbar",
        "Für diese Nummer war keine Telefonleitung verfügbar.",
        "Sagen Sie es Ihrem Administrator.",
    ),
    Cause.PERSON: CauseText(
        "von einer Person angenommen",
        "Eine Person oder ein Anrufbeantworter hat den Anruf angenommen, kein Faxgerät.",
        "Prüfen Sie die Nummer.",
    ),
    Cause.NO_FAX_TONE: CauseText(
        "kein Faxgerät zu hören",
        "Der Anruf wurde angenommen, aber es war kein Faxgerät zu hören.",
        "Prüfen Sie die Nummer.",
    ),
    Cause.HUNG_UP_BEFORE_FAX: CauseText(
        "kein Faxgerät zu hören",
        "Der Anruf wurde angenommen und wieder beendet, bevor ein Faxgerät zu hören war.",
        "Prüfen Sie die Nummer.",
    ),
    Cause.NO_COMMON_MODE: CauseText(
        "keine gemeinsame Betriebsart", "Die beiden Faxgeräte fanden keine gemeinsame Betriebsart."
    ),
    Cause.TRAINING_FAILED: CauseText(
        "Leitung zu schlecht", "Die Leitung war zu schlecht, um eine Geschwindigkeit zu vereinbaren."
    ),
    Cause.REMOTE_HUNG_UP: CauseText(
        "Gegenstelle hat aufgelegt", "Die Gegenstelle hat während der Übertragung aufgelegt."
    ),
    Cause.PAGE_NOT_CONFIRMED: CauseText(
        "Seite nicht bestätigt", "Die Gegenstelle hat eine Seite nicht bestätigt; vielleicht fehlt ihr Papier."
    ),
    Cause.LAST_PAGE_NOT_CONFIRMED: CauseText(
        "letzte Seite nicht bestätigt",
        "Alle Seiten wurden gesendet, aber die Gegenstelle hat die letzte nicht bestätigt: "
        "Sie ist vielleicht angekommen.",
        "Fragen Sie den Empfänger.",
    ),
    Cause.BAD_LINES: CauseText("zu viele gestörte Zeilen", "Die Gegenstelle meldete zu viele gestörte Zeilen."),
    Cause.PROTOCOL_ERROR: CauseText(
        "Fehler im Faxprotokoll", "Die Gegenstelle hat sich nicht an das Faxprotokoll gehalten."
    ),
    Cause.MEDIA_LOST: CauseText("Verbindung unterbrochen", "Die Verbindung wurde unterbrochen."),
    Cause.LINE_FAULT: CauseText("Fehler der Leitung am Gateway", "Die Leitungstechnik des Gateways hat versagt."),
    Cause.DOCUMENT_DAMAGED: CauseText(
        "gespeichertes Dokument beschädigt",
        "Das gespeicherte Dokument war beschädigt und wurde nicht gesendet.",
        "Senden Sie es noch einmal.",
    ),
    Cause.RENDERING_FAILED: CauseText(
        "Dokument nicht faxbar", "Das Dokument konnte nicht in Faxseiten umgewandelt werden."
    ),
    Cause.NOTHING_TO_SEND: CauseText("nichts zu senden", "Es gab nichts zu senden."),
    Cause.DENY_LIST: CauseText(
        "Nummer auf Sperrliste", "Die Nummer steht auf einer Sperrliste und wurde nicht gewählt."
    ),
    Cause.CANCELLED: CauseText("abgebrochen", "Das Fax wurde abgebrochen."),
    Cause.EXPIRED: CauseText("Frist abgelaufen", "Die Frist für dieses Fax ist abgelaufen."),
    Cause.IN_DOUBT: CauseText(
        "Gateway unterbrochen",
        "Das Gateway wurde während der Übertragung unterbrochen: Das Fax ist vielleicht angekommen. "
        "Es wurde nicht wiederholt.",
        "Fragen Sie den Empfänger, bevor Sie es noch einmal senden.",
    ),
    Cause.CEILING: CauseText(
        "Versuche aufgebraucht", "Die für dieses Fax erlaubte Zahl der Versuche ist aufgebraucht."
    ),
}

CAUSE_TEXTS: Mapping[str, Mapping[Cause, CauseText]] = {
    "en": {cause: CauseText(short, cause.facts.text, cause.facts.advice) for cause, short in _ENGLISH_SHORT.items()},
    "fr": _FRENCH,
    "de": _GERMAN,
}
"""Language → cause → texts."""
