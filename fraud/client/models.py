"""`fraud.v1.ModelService` as Python calls.

What puts something on the ledger under a new number each time (a promotion, a
rollback, an exclusion, a retrain) is sent once: when no answer comes, look before asking again.
"""

from collections.abc import Sequence

from fraud.client.connection import Connection
from fraud.v1 import models_pb2


class ModelCalls(Connection):
    """The methods of `ModelService`."""

    def get_champion(self, model: str, at_us: int = 0) -> models_pb2.GetChampionResponse:
        """Return which version serves a model, or served it at a moment."""
        request = models_pb2.GetChampionRequest(model=model, at_us=at_us)
        return self._call("ModelService/GetChampion", request, models_pb2.GetChampionResponse)

    def list_versions(
        self, model: str = "", *, page_token: str = "", page_size: int = 0
    ) -> models_pb2.ListVersionsResponse:
        """Return a page of versions, newest first."""
        request = models_pb2.ListVersionsRequest(model=model, page_token=page_token, page_size=page_size)
        return self._call("ModelService/ListVersions", request, models_pb2.ListVersionsResponse)

    def get_version(self, version: str) -> models_pb2.GetVersionResponse:
        """Return a version with its manifest and verdicts."""
        request = models_pb2.GetVersionRequest(version=version)
        return self._call("ModelService/GetVersion", request, models_pb2.GetVersionResponse)

    def trigger_retrain(
        self, model: str, reason: str, actor: str, guard_overrides: Sequence[str] = ()
    ) -> int:
        """Ask for a retrain ("" for every model); return the request's ledger number.

        `guard_overrides` are checks of the guard whose findings it may pass over.
        """
        request = models_pb2.TriggerRetrainRequest(
            model=model, reason=reason, actor=actor, guard_overrides=guard_overrides
        )
        return self._call(
            "ModelService/TriggerRetrain", request, models_pb2.TriggerRetrainResponse, retried=False
        ).request_seq

    def get_retrain(self, request_seq: int) -> models_pb2.GetRetrainResponse:
        """Return what became of a retrain."""
        request = models_pb2.GetRetrainRequest(request_seq=request_seq)
        return self._call("ModelService/GetRetrain", request, models_pb2.GetRetrainResponse)

    def get_history(
        self, model: str = "", *, page_token: str = "", page_size: int = 0, ledger: bool = False
    ) -> models_pb2.GetHistoryResponse:
        """Return a page of what was put into effect, newest first ("" for every model).

        With `ledger` every entry of the ledger, in words.
        """
        request = models_pb2.GetHistoryRequest(
            model=model, page_token=page_token, page_size=page_size, ledger=ledger
        )
        return self._call("ModelService/GetHistory", request, models_pb2.GetHistoryResponse)

    def promote(
        self, version: str, *, actor: str, reason: str, override: bool = False, instead_of: str = ""
    ) -> models_pb2.PromoteResponse:
        """Make a version the champion; the answer says whether it serves.

        `override` promotes although the gate does not stand behind it, on the record;
        `instead_of` names the champion it is to follow ("": whichever it is now).

        Raises:
            NotAllowedNow: it is tainted, champion already, or needs an override.
            StaleHead: the champion is not the one to follow.
            NotFound: it was never registered.
            Damaged: its bundle fails its self-test; nothing was recorded.
        """
        request = models_pb2.PromoteRequest(
            version=version, override=override, instead_of=instead_of, actor=actor, reason=reason
        )
        return self._call("ModelService/Promote", request, models_pb2.PromoteResponse, retried=False)

    def rollback(
        self,
        model: str,
        *,
        before_us: int = 0,
        version: str = "",
        mute_labels_since_us: int = 0,
        dry_run: bool = False,
        actor: str = "",
        reason: str = "",
    ) -> models_pb2.RollbackResponse:
        """Put back in service what served just before a moment, or a former champion by name.

        Labels that arrived at or after `mute_labels_since_us` (0: none) then count
        no more until reviewed. A dry run says what would be, with forecasts.

        Raises:
            NotAllowedNow: that version may not serve: tainted, never a champion, or serving already.
            InvalidInput: a field is wrong or missing; the message names it.
        """
        request = models_pb2.RollbackRequest(
            model=model,
            before_us=before_us,
            version=version,
            mute_labels_since_us=mute_labels_since_us,
            dry_run=dry_run,
            actor=actor,
            reason=reason,
        )
        return self._call("ModelService/Rollback", request, models_pb2.RollbackResponse, retried=False)

    def exclude(
        self,
        selection: models_pb2.Selection,
        *,
        dry_run: bool = False,
        no_retrain: bool = False,
        actor: str = "",
        reason: str = "",
    ) -> models_pb2.ExcludeDataResponse:
        """Cut data out of training and of the feature state; `list_exclusions` tells how far it is.

        Raises:
            InvalidInput: nothing is chosen, or too much; a field is missing.
        """
        request = models_pb2.ExcludeDataRequest(
            selection=selection, dry_run=dry_run, no_retrain=no_retrain, actor=actor, reason=reason
        )
        return self._call("ModelService/ExcludeData", request, models_pb2.ExcludeDataResponse, retried=False)

    def undo_exclusion(
        self, exclusion_seq: int, *, actor: str, reason: str
    ) -> models_pb2.UndoExclusionResponse:
        """Let excluded data count again; `asked_seq` is set where it takes a second person.

        Raises:
            NotFound: that entry excludes nothing.
            NotAllowedNow: it was undone before.
        """
        request = models_pb2.UndoExclusionRequest(exclusion_seq=exclusion_seq, actor=actor, reason=reason)
        return self._call(
            "ModelService/UndoExclusion", request, models_pb2.UndoExclusionResponse, retried=False
        )

    def list_exclusions(self, exclusion_seq: int = 0) -> list[models_pb2.ExclusionStatus]:
        """Return every exclusion, or one, with the steps of its repair; newest first."""
        request = models_pb2.ListExclusionsRequest(exclusion_seq=exclusion_seq)
        reply = self._call("ModelService/ListExclusions", request, models_pb2.ListExclusionsResponse)
        return list(reply.exclusions)

    def get_lineage(self, *, batch_id: str = "", version: str = "") -> models_pb2.GetLineageResponse:
        """Return which versions a label batch went into, or what went into a version.

        Raises:
            InvalidInput: not exactly one of both is given.
            NotFound: no such batch or version.
        """
        request = models_pb2.GetLineageRequest(batch_id=batch_id, version=version)
        return self._call("ModelService/GetLineage", request, models_pb2.GetLineageResponse)

    def erase_entity(
        self,
        entity: str,
        token: str = "",
        *,
        surrogate: int | None = None,
        dry_run: bool = False,
        actor: str = "",
        reason: str = "",
    ) -> models_pb2.EraseEntityResponse:
        """Erase a person by token; or, by the surrogate that the answer named, ask how far it has come.

        Raises:
            NotFound: the token is not known, or no such erasure was begun.
        """
        request = models_pb2.EraseEntityRequest(
            entity=entity, token=token, surrogate=surrogate, dry_run=dry_run, actor=actor, reason=reason
        )
        return self._call("ModelService/EraseEntity", request, models_pb2.EraseEntityResponse)
