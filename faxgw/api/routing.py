"""Targets and rules of received faxes over HTTP, beside the accounts interface, and what would happen to a fax.

A customer's administrator sees and changes his own customer's; the gateway's targets and rules (under `/gateway`),
targets that are folders of the gateway's machine, and other customers' are the operator's. Secrets go in and never
come out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol  # Any: JSON

from aiohttp import web

from faxgw.api import accesses
from faxgw.api import admin_answers as answers
from faxgw.api import admin_models as models
from faxgw.api.administration import Office, Row, document_of, owner_of, reader_of, require_operator, told, way_of
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.fax.access import Caller, Scope
from faxgw.fax.account import Level
from faxgw.fax.pattern import MAX_TEXT
from faxgw.fax.reading import Symbology
from faxgw.fax.routing_rule import MAX_VALUES, Decision, Facts, Rule, decide
from faxgw.fax.rule_form import RuleDefect, from_json, to_json
from faxgw.fax.target import Encryption, Target, TargetKind, mailbox
from faxgw.store import choosing, lookup, receptions, routing, rules, targets
from faxgw.store.accounts import NotFound
from faxgw.store.choosing import Question

GATEWAY_PATH = "/gateway"
"""Where the gateway's own targets and rules are, in place of a customer's path."""


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

    tag = "Routing"

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
        for base, whose in (("/customers/{customer}", ""), (GATEWAY_PATH, "OfGateway")):
            target, rule = base + "/targets/{target}", base + "/rules/{rule}"
            made: Any = {"body": models.TargetNew, "answer": answers.TargetMade, "status": 201}
            ruled: Any = {"body": models.RuleNew, "answer": answers.RuleMade, "status": 201}
            rows = [
                ("listTargets", Row("GET", base + "/targets", self.list_targets, answer=answers.Targets)),
                ("createTarget", Row("POST", base + "/targets", self.create_target, **made)),
                ("changeTarget", Row("PATCH", target, self.change_target, body=models.TargetChange,
                                     answer=answers.TargetMade)),
                ("removeTarget", Row("DELETE", target, self.remove_target, status=204)),
                ("testTarget", Row("POST", target + "/test", self.test_target, answer=answers.TargetTried)),
                ("listRules", Row("GET", base + "/rules", self.list_rules, answer=answers.Rules)),
                ("createRule", Row("POST", base + "/rules", self.create_rule, **ruled)),
                ("changeRule", Row("PUT", rule, self.change_rule, body=models.RuleChange, answer=answers.RuleMade)),
                ("removeRule", Row("DELETE", rule, self.remove_rule, status=204)),
            ]  # fmt: skip
            found += [replace(row, name=name + whose, operator=bool(whose)) for name, row in rows]
        again: Any = {"body": models.DeliverAgain, "answer": answers.DeliveryMade, "status": 202}
        return [
            *found,
            Row("POST", "/routing/try", self.try_routing, body=models.RoutingTry, answer=answers.Happening),
            Row("POST", "/receptions/{reception}/deliver", self.deliver, name="deliverAgain", **again),
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
        customer, new = owner_of(request, caller), await document_of(request, models.TargetNew)
        by = self._author(request, caller)
        values, kept = _target_values(new)
        target = Target(self._ident("tgt"), customer, new.name, **values)
        _may_have(target, caller)
        await self._check_key(target.encryption, target.recipient_key)
        made = await told(self._ground.store.run(lambda conn: targets.create(conn, target, kept, by=by)))
        return web.json_response(targets.shown(made), status=201)

    async def change_target(self, request: web.Request, caller: Caller) -> web.Response:
        """Change fields; secrets that are not named stay, empty ones go."""
        customer, name = owner_of(request, caller), request.match_info["target"]
        change, by = await document_of(request, models.TargetChange), self._author(request, caller)
        values, kept = _target_values(change)
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
        customer, new = owner_of(request, caller), await document_of(request, models.RuleNew)
        level, scope = (Level.CUSTOMER if customer else Level.SYSTEM), ""
        if new.number or new.profile:
            level, scope = (Level.NUMBER, new.number) if new.number else (Level.PROFILE, new.profile)
        said = new.model_dump(include={"when", "then", "stop"}, exclude_unset=True)
        rule = _ruled(Rule(self._ident("rul"), new.name, customer, level, scope, new.position, active=new.active), said)
        by = self._author(request, caller)
        made = await told(self._ground.store.run(lambda conn: rules.create(conn, rule, by=by)))
        return web.json_response(_shown(made), status=201)

    async def change_rule(self, request: web.Request, caller: Caller) -> web.Response:
        """Change what was sent of it; its name and place stay."""
        customer, ident = owner_of(request, caller), request.match_info["rule"]
        change, by = await document_of(request, models.RuleChange), self._author(request, caller)
        before = await told(self._ground.store.read(lambda conn: rules.get(conn, customer, ident)))
        given = change.given()
        placed = replace(
            before, position=given.pop("position", before.position), active=given.pop("active", before.active)
        )
        made = _ruled(placed, to_json(before) | given)
        changed = await told(self._ground.store.run(lambda conn: rules.change(conn, made, by=by)))
        return web.json_response(_shown(changed))

    async def remove_rule(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer, ident, by = owner_of(request, caller), request.match_info["rule"], self._author(request, caller)
        await told(self._ground.store.run(lambda conn: rules.remove(conn, customer, ident, by=by)))
        return web.Response(status=204)

    # ------------------------------------------------------------------------------------------------- what happens

    async def try_routing(self, request: web.Request, caller: Caller) -> web.Response:
        """What the rules that hold now would do with a fax: with a stored one (`reception`), or an assumed one."""
        body, store = await document_of(request, models.RoutingTry), self._ground.store
        if body.reception is not None:
            ident = body.reception
            asked: Question | None = await told(store.read(lambda conn: choosing.question(conn, _known(conn, ident))))
        else:
            facts, caller_number = _facts(body, datetime.fromtimestamp(self._ground.clock(), UTC))
            number = body.number
            asked = await told(
                store.read(lambda conn: choosing.hypothetical(conn, self._system, number, facts, caller_number))
            )
        if asked is None or not (caller.may(Scope.OPERATOR) or asked.customer == caller.customer):
            raise Refusal.missing(NotFound.default_public)
        question = asked
        if body.reception is not None:
            await self._record_reading(request, caller, body.reception, question.customer)
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
        ident, body = request.match_info["reception"], await document_of(request, models.DeliverAgain)
        name, by, nonce = body.target, self._author(request, caller), secrets.token_hex(8)

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


def _known(conn: Any, ident: str) -> str:
    found = lookup.reception_id(conn, ident)
    if found is None:
        raise NotFound
    return found


def _may_have(target: Target, caller: Caller) -> None:
    """Folders of this machine are opened by who runs it."""
    if target.kind is TargetKind.FOLDER:
        require_operator(caller)


def _target_values(given: models.TargetChange) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of a target that were sent, and its secrets; their sense is checked when they are stored."""
    sent = {name: getattr(given, name) for name in given.model_fields_set - {"name", "secrets"}}
    if "formats" in sent:
        sent["formats"] = tuple(sent["formats"])
    return sent, dict(given.secrets)


def _ruled(rule: Rule, said: Mapping[str, Any]) -> Rule:
    """A rule that says this. Raises Refusal."""
    try:
        conditions, actions, stop = from_json(said)
    except RuleDefect as exc:
        raise Refusal(422, "; ".join(exc.faults)[:2000] + ".", code="bad_rule") from exc
    return replace(rule, conditions=conditions, actions=actions, stop=stop)


def _shown(rule: Rule) -> dict[str, Any]:
    place: dict[str, Any] = {"id": rule.id, "name": rule.name, "customer": rule.customer, "level": rule.level.value}
    if rule.level in (Level.NUMBER, Level.PROFILE):
        place[rule.level.value] = rule.scope
    return {**place, "position": rule.position, **to_json(rule), "active": rule.active}


def _facts(given: models.RoutingTry, now: datetime) -> tuple[Facts, str]:
    """What is assumed of a fax, and its caller as a trunk would give it."""
    texts = tuple(given.texts)
    try:
        at = datetime.fromisoformat(given.at) if given.at else now
        barcodes = tuple((Symbology(kind), text) for kind, text in given.barcodes)
    except ValueError as exc:
        raise Refusal(422, "at must be a time, barcodes pairs of kind and text.", code="invalid") from exc
    if sum(map(len, texts)) > MAX_TEXT or len(barcodes) > MAX_VALUES:
        raise Refusal(422, f"At most {MAX_TEXT} characters and {MAX_VALUES} barcodes can be tried.", code="invalid")
    facts = Facts(
        number="",
        csid=given.csid,
        sub_address=given.sub_address,
        at=at,
        pages=max(1, len(texts)) if given.pages is None else given.pages,
        complete=given.complete,
        junk=given.junk,
        texts=texts,
        barcodes=barcodes,
    )
    return facts, given.caller


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
