"""ListBatches: the label batches that came in, from the log, which keeps their summaries for ever."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.serving.edge import Edge
from fraud.serving.queries import Queries
from fraud.serving.servicers import LABELS, handler
from fraud.v1 import labels_pb2


class BatchServicer:
    """The method of `fraud.v1.LabelService` that looks back."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the method, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "ListBatches": (labels_pb2.ListBatchesRequest, self.list_batches),
        }
        return handler(edge, LABELS, methods)

    async def list_batches(self, request: labels_pb2.ListBatchesRequest) -> labels_pb2.ListBatchesResponse:
        """Return a page of label batches, oldest first."""
        page = await self._queries.batches(
            request.since_us, request.source, request.page_token, request.page_size
        )
        return labels_pb2.ListBatchesResponse(
            batches=[
                labels_pb2.LabelBatch(
                    batch_id=batch.batch_id,
                    part=batch.part,
                    source=batch.source,
                    submitter=batch.submitter,
                    arrival_time_us=batch.arrival_time_us,
                    frauds=batch.frauds,
                    legitimates=batch.legitimates,
                    withdrawn=batch.withdrawn,
                    digest=batch.digest,
                    retracted=batch.retracted,
                )
                for batch in page.rows
            ],
            next_page_token=page.next_token,
        )
