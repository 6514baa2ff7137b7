"""Every servicer of the scoring process, on what the process holds.

gRPC looks for the method of a call in their order, so what scores and takes in stands first.
"""

from typing import TYPE_CHECKING, Protocol

import grpc

from fraud.serving.access import AccessServicer
from fraud.serving.decisions import DecisionServicer
from fraud.serving.edge import Edge
from fraud.serving.erasure import ErasureServicer
from fraud.serving.exclusions import ExclusionServicer
from fraud.serving.intake import TransactionIntake
from fraud.serving.label_batches import BatchServicer
from fraud.serving.lineage import LineageServicer
from fraud.serving.listings import ListingServicer
from fraud.serving.models import ModelServicer
from fraud.serving.policies import PolicyServicer
from fraud.serving.promotion import PromotionServicer
from fraud.serving.repairs import RepairServicer
from fraud.serving.servicers import LabelServicer, ScoringServicer

if TYPE_CHECKING:
    from fraud.serving.server import ScoringProcess


class Servicer(Protocol):
    """Methods of one service, or some of them."""

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the methods, wrapped by the edge."""
        ...


def servicers_of(process: "ScoringProcess") -> tuple[Servicer, ...]:
    """Return the servicers of a process, in the order in which calls look for their method."""
    settings, registry, queries = process.settings, process.registry, process.queries
    scorer, batcher, follower = process.scorer, process.batcher, process.follower
    policies = PolicyServicer(
        settings, registry, scorer, batcher, process.champions, process.ruling, follower
    )
    return (
        ScoringServicer(settings.server, TransactionIntake(settings), scorer, batcher, process.feedback),
        LabelServicer(settings.server, registry, batcher, process.feedback, queries),
        BatchServicer(queries),
        DecisionServicer(settings, process.desk, queries),
        ModelServicer(settings, registry, queries, scorer),
        LineageServicer(settings, registry, queries),
        PromotionServicer(settings, registry, scorer, batcher, process.loader, follower, process.second),
        RepairServicer(settings, process.rollbacks, process.excluding),
        ExclusionServicer(settings, registry, queries, process.replacements),
        ErasureServicer(settings, process.eraser),
        policies,
        ListingServicer(settings, lambda: scorer.state_now().lists, policies.surrogate_of, scorer.now_us),
        AccessServicer(registry, scorer.now_us),
    )
