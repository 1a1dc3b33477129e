"""Who gets the status mails of a job, decided when it is accepted (docs/spine.md section 1): never the null sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faxgw.fax.account import Effective


def report_targets(settings: Effective, sender: str) -> tuple[str, ...] | Mapping[str, Sequence[str]]:
    """Where status mails go; by `success` and `failure` where these differ.

    Of a success: the settings' addresses, else the envelope sender. Of a failure: those of `report_error_to`, else the
    same. Who is named for copies gets both.

    Args:
        settings: The job's.
        sender: Its authorised envelope sender; empty: none.
    """
    usual = tuple(settings["report_addresses"]) or ((sender,) if sender else ())
    success = _once(*usual, *settings["report_cc"])
    failure = _once(*(settings["report_error_to"] or usual), *settings["report_cc"])
    return success if success == failure else {"success": list(success), "failure": list(failure)}


def failure_targets(settings: Effective, sender: str) -> tuple[str, ...]:
    """Where those go that tell of a failure."""
    found = report_targets(settings, sender)
    return found if isinstance(found, tuple) else tuple(found["failure"])


def _once(*addresses: str) -> tuple[str, ...]:
    """Addresses in order, each once whatever its case."""
    return tuple({address.casefold(): address for address in reversed(addresses)}.values())[::-1]
