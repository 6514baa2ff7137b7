"""`fraud.v1.PolicyService`: the rules beside the models, and who stands on a list.

    SetRules   do they fit this configuration? → one ledger entry → the follower applies it at once
    SetListing on the scoring thread: logged, in force with the next batch

Tokens come in and do not go out again: what is listed is named by surrogate.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc

from fraud.clock import LATEST_US
from fraud.errors import InvalidInput, LimitExceeded
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.wording import check_wording
from fraud.policy.lists import LIST_NAMES
from fraud.policy.rules import Rule, RuleSet, rule_set
from fraud.records import MISSING_SURROGATE, EntityListed, Outcome
from fraud.registry.rules import RULES_SET, rules_of
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champions
from fraud.serving.edge import Edge
from fraud.serving.follower import LedgerFollower
from fraud.serving.intake import TransactionIntake
from fraud.serving.listings import POLICIES, check_entity
from fraud.serving.models import check_signed
from fraud.serving.roles import READERS, rule
from fraud.serving.ruling import Ruling
from fraud.serving.scorer import Scorer
from fraud.serving.servicers import check_model, handler
from fraud.settings import Settings
from fraud.v1 import policy_pb2, scoring_pb2

POLICIES_ACCESS = {
    "SetRules": rule("operator"),
    "GetRules": READERS,
    "SetListing": rule("analyst", "operator"),
    "ListListings": READERS,
}


class PolicyServicer:
    """Rules and lists of one service."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scorer: Scorer,
        batcher: Batcher,
        champions: Champions,
        ruling: Ruling,
        follower: LedgerFollower,
    ) -> None:
        self._models = tuple(settings.models)
        self._entities = settings.schema_.entity_names
        self._limits = settings.rules
        self._intake = TransactionIntake(settings)
        self._entity_key = EntityKey.of(settings)
        self._registry = registry
        self._scorer = scorer
        self._batcher = batcher
        self._champions = champions
        self._ruling = ruling
        self._follower = follower

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the service's methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "SetRules": (policy_pb2.SetRulesRequest, self.set_rules),
            "GetRules": (policy_pb2.GetRulesRequest, self.get_rules),
            "SetListing": (policy_pb2.SetListingRequest, self.set_listing),
        }
        return handler(edge, POLICIES, methods)

    async def set_rules(self, request: policy_pb2.SetRulesRequest) -> policy_pb2.SetRulesResponse:
        """Set the rules of a model; on return they decide, or the answer says that they do not."""
        check_model(request.model, self._models)
        check_signed(request.actor, request.reason, "the rules")
        limits = self._limits
        rules = rule_set(
            [_from_wire(rule) for rule in request.rules],
            rules_max=limits.rules_max,
            length_max=limits.expression_length_max,
        )
        await asyncio.to_thread(self._ruling.check, rules)
        body = {"model": request.model, "rules": [rule.to_dict() for rule in rules.rules]}
        entry = await asyncio.to_thread(
            self._registry.store.append,
            RULES_SET,
            body,
            actor=request.actor,
            reason=request.reason,
            time_us=self._scorer.now_us(),
        )
        await asyncio.to_thread(self._registry.refresh)
        await self._follower.poll(self._batcher)
        return policy_pb2.SetRulesResponse(
            ledger_seq=entry.seq,
            policy_version=self._policy_version(request.model),
            applied=self._in_force(request.model, rules),
        )

    async def get_rules(self, request: policy_pb2.GetRulesRequest) -> policy_pb2.GetRulesResponse:
        """Return the rules that the ledger intends for a model, and whether they are in force."""
        check_model(request.model, self._models)
        state = await asyncio.to_thread(self._registry.refresh)
        reply = policy_pb2.GetRulesResponse(policy_version=self._policy_version(request.model))
        intended = rules_of(state, request.model)
        if intended is None:
            reply.in_force = True
            return reply
        reply.rules.extend(_to_wire(rule) for rule in intended.rules.rules)
        reply.ledger_seq, reply.time_us = intended.seq, intended.time_us
        reply.actor, reply.reason = intended.actor, intended.reason
        reply.refused = self._ruling.refused(request.model)
        reply.in_force = self._in_force(request.model, intended.rules)
        return reply

    async def set_listing(self, request: policy_pb2.SetListingRequest) -> policy_pb2.SetListingResponse:
        """Put an entity on a list or take it off; on return the next payment is decided by it."""
        check_entity(request.entity, self._entities)
        check_signed(request.actor, request.reason, "the listing")
        if request.list_name and request.list_name not in LIST_NAMES:
            raise InvalidInput(
                "list_name", f"{request.list_name!r} is no list", f"send {' or '.join(LIST_NAMES)}"
            )
        self._intake.check_token(request.entity, request.token)
        check_wording([request.token], actor=request.actor, reason=request.reason)
        reply: policy_pb2.SetListingResponse = await self._batcher.feed(lambda: self._set_listing(request), 1)
        return reply

    def _set_listing(self, request: policy_pb2.SetListingRequest) -> policy_pb2.SetListingResponse:
        """Check against what is listed, then log; on the scoring thread."""
        now_us = self._scorer.now_us()
        if request.until_us < 0 or 0 < request.until_us <= now_us:
            raise InvalidInput("until_us", "lies in the past", "send a moment to come, or 0 for no end")
        if request.until_us > LATEST_US:
            raise InvalidInput("until_us", "lies after 2099", "send an earlier moment, or 0 for no end")
        state = self._scorer.state_now()
        state.lists.turn(now_us)
        former = state.lists.find(request.entity, self.surrogate_of(request.entity, request.token), now_us)
        if request.list_name and former is None and len(state.lists) >= self._limits.listings_max:
            raise LimitExceeded(
                "listings",
                f"are {len(state.lists)}, as many as there may be (rules.listings_max)",
                "take some off or let them end",
            )
        event = EntityListed(
            request.list_name,
            request.entity,
            MISSING_SURROGATE,
            request.until_us if request.list_name else 0,
            request.actor,
            request.reason,
        )
        listed = self._scorer.append_listing(event, self._entity_key.stored(request.entity, request.token))
        return policy_pb2.SetListingResponse(
            surrogate=listed.surrogate, former=former.list_name if former is not None else ""
        )

    def surrogate_of(self, entity: str, token: str) -> int:
        """Return the surrogate of a token, `MISSING_SURROGATE` for one that never came."""
        place, stored = self._entities.index(entity), self._entity_key.stored(entity, token)
        return self._scorer.state_now().dictionary.surrogate_of(place, stored)

    def _in_force(self, model: str, rules: RuleSet) -> bool:
        held = self._scorer.overruling.get(model)
        return (held.rules.digest if held is not None else "") == rules.digest

    def _policy_version(self, model: str) -> str:
        champion = self._champions.get(model)
        own = champion.policy_version if champion is not None else ""
        return self._scorer.overruling.policy_version(model, own)


def _from_wire(rule: policy_pb2.Rule) -> dict[str, Any]:
    known = rule.outcome in {outcome.value for outcome in Outcome}
    return {
        "name": rule.name,
        "when": rule.when,
        "outcome": Outcome(rule.outcome).name if known else str(rule.outcome),
        "stage": rule.stage or "before",
        "text": rule.text,
    }


def _to_wire(rule: Rule) -> policy_pb2.Rule:
    return policy_pb2.Rule(
        name=rule.name,
        when=rule.when,
        outcome=cast("scoring_pb2.Outcome.ValueType", rule.outcome.value),
        stage=rule.stage,
        text=rule.text,
    )
