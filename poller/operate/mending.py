"""What `poller doctor --fix` does: each a small step that no recovery could miss, and that may be done twice."""

import os
from collections.abc import Callable, Mapping

from shared.providers.port import RemoteBatch
from shared.recall import recall, recall_pipeline
from shared.spool import Spool
from shared.store import Batch, Store

Mend = Callable[[], str]
"""Does it, and says what it did."""


class Mending:
    """Makes the steps; nothing is done before a step is called."""

    def __init__(self, store: Store, spool: Spool, environ: Mapping[str, str] = os.environ) -> None:
        self._store, self._spool, self._environ = store, spool, environ

    def take_back_pipeline(self, pipeline: str) -> Mend:
        """A pipeline's runs go back into the store."""

        def mend() -> str:
            is_back = recall_pipeline(self._store, self._spool, pipeline)
            return "taken back" if is_back else "nothing to do: it is back"

        return mend

    def take_back(self, pipeline: str, statement: str, key: str) -> Mend:
        """A batch that stands in its place goes back into the store."""

        def mend() -> str:
            manifest = self._spool.manifest(pipeline, statement, key)
            is_back = recall(self._store, self._spool, manifest, self._environ)
            return "taken back" if is_back else "nothing to do: it comes back with its parent, or is out"

        return mend

    def delete(self, address: str) -> Mend:
        """A file in progress that nobody goes on with."""

        def mend() -> str:
            self._spool.files.delete(address)
            return "deleted"

        return mend

    def discard(self, attempt: str) -> Mend:
        """A plan's folder that lost."""

        def mend() -> str:
            self._spool.discard(attempt)
            return "deleted"

        return mend

    def note_stray(self, batch: Batch, remote: RemoteBatch) -> Mend:
        """A second batch at the provider is followed by the auditor from now on."""

        def mend() -> str:
            self._store.strays.note(batch.batch_key, batch.account, remote.id, created_at=remote.created_at)
            return "counted: the poller's next audit cancels it, and reads its cost"

        return mend

    def delete_upload(self, file_id: str, delete: Callable[[str], None]) -> Mend:
        """An uploaded file that no create names."""

        def mend() -> str:
            delete(file_id)
            return "deleted at the provider"

        return mend
