"""Targets and rules of received faxes over HTTP, beside the accounts interface, and what would happen to a fax.

A customer's administrator sees and changes his own customer's; the gateway's targets and rules (under `/gateway`),
targets that are folders of the gateway's machine, and other customers' are the operator's. Secrets go in and never
come out.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol  # Any: JSON

from aiohttp import web

from faxgw.api import accesses
from faxgw.api.administration import Office, Row, owner_of, reader_of, require_operator, told, way_of
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, read_json
from faxgw.fax.access import Caller, Scope
from faxgw.fax.account import Level
from faxgw.fax.pattern import MAX_TEXT
from faxgw.fax.reading import Symbology
from faxgw.fax.routing_rule import MAX_VALUES, Decision, Facts, Rule, decide
from faxgw.fax.rule_form import RuleDefect, from_json, to_json
from faxgw.fax.target import Encryption, Format, Target, TargetKind, mailbox
from faxgw.store import choosing, lookup, receptions, routing, rules, targets
from faxgw.store.accounts import NotFound
from faxgw.store.choosing import Question

GATEWAY_PATH = "/gateway"
"""Where the gateway's own targets and rules are, in place of a customer's path."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class TargetTests(Protocol):
    """Sends test deliveries (implemented by `dispatch.target_test`)."""

    async def test(self, target: Target) -> Mapping[str, Any]:
        """One try; `delivered` and `detail`."""
        ...


KeyFault = Callable[[Encryption, str], Awaitable[str]]
"""Says why documents cannot be encrypted for a key."""


class RoutingRoutes(Office):
    """The interface of targets and rules.

    Args:
        ground: What it stands on.
        system: Settings of the system level.
        tests: Sends test deliveries.
        key_fault: Why documents cannot be encrypted for a recipient's key or certificate; empty when they can.
    """

    def __init__(
        self,
        ground: Ground,
        system: Mapping[str, object],
        tests: TargetTests,
        key_fault: KeyFault | None = None,
    ) -> None:
        super().__init__(ground)
        self._key_fault = key_fault
        self._system = system
        self._tests = tests

    def rows(self) -> Sequence[Row]:
        """Every route."""
        found: list[Row] = []
        for base in ("/customers/{customer}", GATEWAY_PATH):
            found += [
                Row("GET", base + "/targets", self.list_targets),
                Row("POST", base + "/targets", self.create_target),
                Row("PATCH", base + "/targets/{target}", self.change_target),
                Row("DELETE", base + "/targets/{target}", self.remove_target),
                Row("POST", base + "/targets/{target}/test", self.test_target),
                Row("GET", base + "/rules", self.list_rules),
                Row("POST", base + "/rules", self.create_rule),
                Row("PUT", base + "/rules/{rule}", self.change_rule),
                Row("DELETE", base + "/rules/{rule}", self.remove_rule),
            ]
        return [
            *found,
            Row("POST", "/routing/try", self.try_routing),
            Row("POST", "/receptions/{reception}/deliver", self.deliver),
        ]

    # ------------------------------------------------------------------------------------------------------ targets

    async def list_targets(self, request: web.Request, caller: Caller) -> web.Response:
        """Those of a customer or of the gateway."""
        customer = owner_of(request, caller)
        store = self._ground.store
        found = await store.read(lambda conn: targets.every(conn, customer))
        files = await store.read(lambda conn: targets.managed(conn, customer))
        shown = [targets.shown(one) | {"in_settings_file": one.name in files} for one in found]
        return web.json_response({"targets": shown})

    async def create_target(self, request: web.Request, caller: Caller) -> web.Response:
        """Make one: `name`, `kind`, `address` and what else `docs/inbound-routing.md` names."""
        customer, body = owner_of(request, caller), await _body(request)
        ident, by = self._ident("tgt"), self._author(request, caller)
        blank = Target(ident, customer, str(body.get("name", "")), TargetKind.MAIL, "")
        if "kind" not in body or "address" not in body:
            raise Refusal(422, "name, kind and address are needed.", code="invalid", param="kind")
        values, kept = _target_values({key: value for key, value in body.items() if key != "name"})
        target = replace(blank, **values)
        _may_have(target, caller)
        await self._check_key(target.encryption, target.recipient_key)
        made = await told(self._ground.store.run(lambda conn: targets.create(conn, target, kept, by=by)))
        return web.json_response(targets.shown(made), status=201)

    async def change_target(self, request: web.Request, caller: Caller) -> web.Response:
        """Change fields; secrets that are not named stay, empty ones go."""
        customer, name, body = owner_of(request, caller), request.match_info["target"], await _body(request)
        by = self._author(request, caller)
        values, kept = _target_values(body)
        if values.get("kind") is TargetKind.FOLDER:
            require_operator(caller)
        found = await self._ground.store.read(lambda conn: targets.find(conn, customer, name))
        if found is not None:
            _may_have(found, caller)
            how, key = values.get("encryption", found.encryption), values.get("recipient_key", found.recipient_key)
            if {"encryption", "recipient_key"} & values.keys():
                await self._check_key(how, key)
        work = self._ground.store.run(lambda conn: targets.change(conn, customer, name, values, kept, by=by))
        return web.json_response(targets.shown(await told(work)))

    async def _check_key(self, how: Encryption, key: str) -> None:
        """Refuse a key that nothing can be encrypted for, before a fax depends on it."""
        if self._key_fault is not None and key and (fault := await self._key_fault(how, key)):
            raise Refusal(422, f"recipient_key: {fault}.", code="invalid", param="recipient_key")

    async def remove_target(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one that no rule names; 204."""
        customer, name, by = owner_of(request, caller), request.match_info["target"], self._author(request, caller)
        await told(self._ground.store.run(lambda conn: targets.remove(conn, customer, name, by=by)))
        return web.Response(status=204)

    async def test_target(self, request: web.Request, caller: Caller) -> web.Response:
        """Send a test page there, once; `delivered` and `detail`."""
        customer, name = owner_of(request, caller), request.match_info["target"]
        found = await self._ground.store.read(lambda conn: targets.find(conn, customer, name))
        if found is None or found.customer != customer:
            raise Refusal.missing(NotFound.default_public)
        return web.json_response(dict(await self._tests.test(found)))

    # -------------------------------------------------------------------------------------------------------- rules

    async def list_rules(self, request: web.Request, caller: Caller) -> web.Response:
        """Those of a customer or of the gateway, in the order in which they are asked."""
        customer, store = owner_of(request, caller), self._ground.store
        found = await store.read(lambda conn: rules.every(conn, customer))
        files = await store.read(lambda conn: rules.managed(conn, customer))
        return web.json_response({"rules": [_shown(one) | {"in_settings_file": one.id in files} for one in found]})

    async def create_rule(self, request: web.Request, caller: Caller) -> web.Response:
        """Make one: `name`, `when`, `then`, and `number` or `profile` where it is not the whole customer's."""
        customer, body = owner_of(request, caller), await _body(request)
        rule = _rule(self._ident("rul"), customer, body)
        by = self._author(request, caller)
        made = await told(self._ground.store.run(lambda conn: rules.create(conn, rule, by=by)))
        return web.json_response(_shown(made), status=201)

    async def change_rule(self, request: web.Request, caller: Caller) -> web.Response:
        """Put another rule in its place; its name and place stay."""
        customer, ident, body = owner_of(request, caller), request.match_info["rule"], await _body(request)
        by = self._author(request, caller)
        before = await told(self._ground.store.read(lambda conn: rules.get(conn, customer, ident)))
        given = {key: value for key, value in body.items() if key not in ("name", "number", "profile")}
        whole = _shown(before) | given
        made = _rule(ident, customer, {key: whole[key] for key in (*_RULE_KEYS, "name") if key in whole})
        placed = replace(made, level=before.level, scope=before.scope)
        changed = await told(self._ground.store.run(lambda conn: rules.change(conn, placed, by=by)))
        return web.json_response(_shown(changed))

    async def remove_rule(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer, ident, by = owner_of(request, caller), request.match_info["rule"], self._author(request, caller)
        await told(self._ground.store.run(lambda conn: rules.remove(conn, customer, ident, by=by)))
        return web.Response(status=204)

    # ------------------------------------------------------------------------------------------------- what happens

    async def try_routing(self, request: web.Request, caller: Caller) -> web.Response:
        """What the rules that hold now would do with a fax: with a stored one (`reception`), or an assumed one."""
        body, store = await _body(request), self._ground.store
        if "reception" in body:
            ident = str(body["reception"])
            asked: Question | None = await told(store.read(lambda conn: choosing.question(conn, _known(conn, ident))))
        else:
            facts, caller_number = _facts(body, datetime.fromtimestamp(self._ground.clock(), UTC))
            number = str(body.get("number", ""))
            asked = await told(
                store.read(lambda conn: choosing.hypothetical(conn, self._system, number, facts, caller_number))
            )
        if asked is None or not (caller.may(Scope.OPERATOR) or asked.customer == caller.customer):
            raise Refusal.missing(NotFound.default_public)
        question = asked
        if "reception" in body:
            await self._record_reading(request, caller, str(body["reception"]), question.customer)
        decision = await asyncio.to_thread(decide, question.rules, question.facts, patient=True)
        final = decision
        if decision.waits:
            final = await asyncio.to_thread(decide, question.rules, question.facts, patient=False)
        answer = await store.read(lambda conn: choosing.answer(conn, question, final))
        return web.json_response(_happening(question, decision, final, answer))

    async def _record_reading(self, request: web.Request, caller: Caller, ident: str, customer: str) -> None:
        """The answer holds what rules take out of the fax's text: that is a reading of it."""
        store = self._ground.store
        entity = await store.read(lambda conn: _known(conn, ident))
        who, now = reader_of(request, caller), self._ground.clock()
        await accesses.record(
            store, accesses.TEXT, entity, who=who, way=way_of(caller), now=now, customer=customer, data={"for": "try"}
        )

    async def deliver(self, request: web.Request, caller: Caller) -> web.Response:
        """Deliver a stored fax to a target or a mail address once more, because somebody says so; 202."""
        ident, body = request.match_info["reception"], await _body(request)
        name, by, nonce = str(body.get("target", "")), self._author(request, caller), secrets.token_hex(8)

        def unit(conn: Any) -> tuple[str, str]:
            found = _known(conn, ident)
            row = receptions.row_of(conn, found)
            if not (caller.may(Scope.OPERATOR) or row.customer == caller.customer):
                raise NotFound
            target = mailbox(name) if "@" in name else targets.find(conn, row.customer, name)
            if target is None:
                raise NotFound(public=f"There is no target {name[:80]}.")
            return found, routing.again(conn, found, target, nonce=nonce, who=by.who, now=by.now)

        found, item = await told(self._ground.store.run(unit))
        return web.json_response({"reception": found, "item": item, "target": name}, status=202)


async def _body(request: web.Request) -> Mapping[str, Any]:
    body = await read_json(request)
    if not isinstance(body, Mapping):
        raise Refusal(400, "The body must be a JSON object.", code="bad_json")
    return body


def _known(conn: Any, ident: str) -> str:
    found = lookup.reception_id(conn, ident)
    if found is None:
        raise NotFound
    return found


def _may_have(target: Target, caller: Caller) -> None:
    """Folders of this machine are opened by who runs it."""
    if target.kind is TargetKind.FOLDER:
        require_operator(caller)


_TEXTS = ("address", "file_name", "recipient_key")
_FLAGS = ("searchable", "upright", "active")


def _target_values(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of a target and its secrets, each of its type; their sense is checked when they are stored."""
    values: dict[str, Any] = {}
    kept: dict[str, str] = {}
    for key, value in body.items():
        try:
            values[key] = _target_value(key, value)
        except (ValueError, TypeError) as exc:
            raise Refusal(422, f"{key[:40]}: {exc}", code="invalid", param=key[:40]) from exc
    kept = values.pop("secrets", {})
    return values, kept


def _target_value(key: str, value: Any) -> Any:
    if key in _TEXTS and isinstance(value, str):
        return value
    if key in _FLAGS and isinstance(value, bool):
        return value
    if key in ("params", "secrets") and isinstance(value, Mapping):
        if not all(isinstance(one, str) for one in value.values()):
            raise ValueError("must be a table of texts")
        return dict(value)
    if key == "kind":
        return TargetKind(value)
    if key == "encryption":
        return Encryption(value)
    if key == "formats" and isinstance(value, list):
        return tuple(Format(one) for one in value)
    raise ValueError("there is no such field, or its value is of another type")


_RULE_KEYS = ("when", "then", "stop", "position", "active")


def _rule(ident: str, customer: str, body: Mapping[str, Any]) -> Rule:
    """A rule of a request."""
    unknown = set(body) - {*_RULE_KEYS, "name", "number", "profile"}
    name, position, active = body.get("name", ""), body.get("position", 100), body.get("active", True)
    if unknown:
        raise Refusal(422, f"There is no field {min(unknown)[:40]}.", code="invalid", param=min(unknown)[:40])
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        text = "name must have 1 to 64 small letters, digits and . _ -, a letter or digit first."
        raise Refusal(422, text, code="invalid", param="name")
    if isinstance(position, bool) or not isinstance(position, int) or not isinstance(active, bool):
        raise Refusal(422, "position must be a number, active true or false.", code="invalid", param="position")
    try:
        conditions, actions, stop = from_json({key: body[key] for key in ("when", "then", "stop") if key in body})
    except RuleDefect as exc:
        raise Refusal(422, "; ".join(exc.faults)[:2000] + ".", code="bad_rule") from exc
    level, scope = Level.CUSTOMER if customer else Level.SYSTEM, ""
    if number := body.get("number"):
        level, scope = Level.NUMBER, str(number)
    elif profile := body.get("profile"):
        level, scope = Level.PROFILE, str(profile)
    return Rule(ident, name, customer, level, scope, position, conditions, actions, stop, active)


def _shown(rule: Rule) -> dict[str, Any]:
    place: dict[str, Any] = {"id": rule.id, "name": rule.name, "customer": rule.customer, "level": rule.level.value}
    if rule.level in (Level.NUMBER, Level.PROFILE):
        place[rule.level.value] = rule.scope
    return {**place, "position": rule.position, **to_json(rule), "active": rule.active}


def _facts(body: Mapping[str, Any], now: datetime) -> tuple[Facts, str]:
    """What is assumed of a fax, and its caller as a trunk would give it."""
    known = {"number", "caller", "csid", "sub_address", "at", "pages", "complete", "junk", "texts", "barcodes"}
    unknown = sorted(set(body) - known)
    if unknown:
        raise Refusal(422, f"There is no field {unknown[0][:40]}.", code="invalid", param=unknown[0][:40])
    try:
        texts = tuple(str(text) for text in body.get("texts", []))
        barcodes = tuple((Symbology(kind), str(text)) for kind, text in body.get("barcodes", []))
        at = datetime.fromisoformat(body["at"]) if body.get("at") else now
        facts = Facts(
            number="",
            csid=str(body.get("csid", ""))[:40],
            sub_address=str(body.get("sub_address", ""))[:24],
            at=at,
            pages=int(body.get("pages", max(1, len(texts)))),
            complete=bool(body.get("complete", True)),
            junk=int(body.get("junk", 0)),
            texts=texts,
            barcodes=barcodes,
        )
    except (ValueError, TypeError) as exc:
        raise Refusal(422, "at must be a time, barcodes pairs of kind and text.", code="invalid") from exc
    if sum(map(len, texts)) > MAX_TEXT or len(barcodes) > MAX_VALUES:
        raise Refusal(422, f"At most {MAX_TEXT} characters and {MAX_VALUES} barcodes can be tried.", code="invalid")
    return facts, str(body.get("caller", ""))[:160]


def _happening(asked: Question, decision: Decision, final: Decision, answer: choosing.Answer) -> dict[str, Any]:
    facts = asked.facts
    return {
        "customer": asked.customer,
        "number": facts.number,
        "caller": list(facts.caller),
        "rules": choosing.steps(final),
        "waits_for_reading": [decision.steps[-1].rule.name] if decision.waits else [],
        "deliveries": [
            {
                "target": one.target.name,
                "kind": one.target.kind.value,
                "address": one.target.address,
                "formats": [form.value for form in one.target.formats],
                "searchable": one.target.searchable,
                "waits_for_reading": facts.waiting and one.target.needs_reading,
                "rule": one.rule,
                "why": one.why.value,
            }
            for one in answer.onward
        ],
        "missing": list(answer.missing),
        "tags": list(final.tags),
        "language": final.language or asked.settings["language"],
        "reply": final.reply or asked.settings.values.get("fax_reply", ""),
        "extracted": dict(final.extracted),
    }
