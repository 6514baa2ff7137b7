"""`fraud.v1.LabelService` as Python calls."""

from collections.abc import Sequence

from fraud.client.connection import Connection
from fraud.client.fields import filled, wrong_kind
from fraud.records import Label
from fraud.v1 import labels_pb2


class LabelCalls(Connection):
    """The methods of `LabelService`."""

    def submit_labels(
        self, batch_id: str, part: int, source: str, submitter: str, labels: Sequence[Label]
    ) -> labels_pb2.SubmitLabelsResponse:
        """Hand in one part of a label batch; may be repeated safely.

        Raises:
            InvalidInput: batch id, part, source or submitter cannot be accepted, or a field is of the wrong
                type, like `labels[3].label_time_us`.
            PermissionDenied: this identity may not hand in labels of the source.
        """
        fields = {"batch_id": batch_id, "part": part, "source": source, "submitter": submitter}
        request = filled(labels_pb2.SubmitLabelsRequest, fields)
        request.labels.extend(label_to_wire(label, f"labels[{at}]") for at, label in enumerate(labels))
        return self._call("LabelService/SubmitLabels", request, labels_pb2.SubmitLabelsResponse)

    def list_batches(
        self, since_us: int = 0, source: str = "", *, page_token: str = "", page_size: int = 0
    ) -> labels_pb2.ListBatchesResponse:
        """Return a page of label batches, oldest first."""
        request = labels_pb2.ListBatchesRequest(
            since_us=since_us, source=source, page_token=page_token, page_size=page_size
        )
        return self._call("LabelService/ListBatches", request, labels_pb2.ListBatchesResponse)

    def retract_batch(self, batch_id: str, submitter: str, reason: str) -> labels_pb2.RetractBatchResponse:
        """Take a label batch back with all its parts; may be repeated safely.

        Raises:
            NotFound: no such batch came in.
            InvalidInput: the submitter or the reason is missing.
            PermissionDenied: somebody else handed it in, and this identity is no operator.
        """
        request = labels_pb2.RetractBatchRequest(batch_id=batch_id, submitter=submitter, reason=reason)
        return self._call("LabelService/RetractBatch", request, labels_pb2.RetractBatchResponse)


def label_to_wire(label: Label, place: str = "") -> labels_pb2.Label:
    """Return a label as a call carries it.

    Raises:
        InvalidInput: it is no label, or a field has a wrong type; the message names it, behind its `place`.
    """
    try:
        fields = {
            "transaction_id": label.transaction_id,
            "value": label.value,
            "label_time_us": label.label_time_us,
            "comment": label.comment,
        }
    except AttributeError:
        raise wrong_kind(label, Label, place or "label") from None
    return filled(labels_pb2.Label, fields, place)
