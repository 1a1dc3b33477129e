"""The tables (docs/spine.md section 1), by concern. One MetaData for every engine; migrations are made from it.

Partial unique indexes are the last line of the promises: one open attempt per fax, one per number.
"""

from __future__ import annotations

from faxgw.store.schema.call import attempt_faxes, attempts, destinations
from faxgw.store.schema.columns import metadata
from faxgw.store.schema.directory import (
    customers,
    domains,
    login_keys,
    logins,
    number_papers,
    numbers,
    profiles,
    senders,
    tokens,
    users,
)
from faxgw.store.schema.drawn import letterheads, renditions, templates
from faxgw.store.schema.fax import CALLABLE, UNFINISHED, callable_jobs, faxes, job_cancels, page_ledger, staged_faxes
from faxgw.store.schema.intake import dedupe, message_recipients, messages
from faxgw.store.schema.job import job_documents, job_keys, job_references, job_reports, jobs
from faxgw.store.schema.journal import audit, audit_ends, events, holds
from faxgw.store.schema.node import commits, nodes
from faxgw.store.schema.outgoing import outbox, pull_documents, pulls
from faxgw.store.schema.reception import readings, reception_documents, reception_pages, reception_replies, receptions
from faxgw.store.schema.routing import routing_rules, targets
from faxgw.store.schema.screening import junk, junk_verdicts, link_keys, page_prints
from faxgw.store.schema.webhook import feeds, pushes, webhook_tries, webhooks

__all__ = [
    "CALLABLE",
    "UNFINISHED",
    "attempt_faxes",
    "attempts",
    "audit",
    "audit_ends",
    "callable_jobs",
    "commits",
    "customers",
    "dedupe",
    "destinations",
    "domains",
    "events",
    "faxes",
    "feeds",
    "holds",
    "job_cancels",
    "job_documents",
    "job_keys",
    "job_references",
    "job_reports",
    "jobs",
    "junk",
    "junk_verdicts",
    "letterheads",
    "link_keys",
    "login_keys",
    "logins",
    "message_recipients",
    "messages",
    "metadata",
    "nodes",
    "number_papers",
    "numbers",
    "outbox",
    "page_ledger",
    "page_prints",
    "profiles",
    "pull_documents",
    "pulls",
    "pushes",
    "readings",
    "reception_documents",
    "reception_pages",
    "reception_replies",
    "receptions",
    "renditions",
    "routing_rules",
    "senders",
    "staged_faxes",
    "targets",
    "templates",
    "tokens",
    "users",
    "webhook_tries",
    "webhooks",
]
