"""From a batch to its provider: the definition that was stored with its plan, and one client for each account."""

import threading
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from shared.definition import Definition, Model
from shared.errors import SpoolError
from shared.providers import provider_for
from shared.providers.port import Provider
from shared.spool import Spool
from shared.store import Batch, Store
from shared.telemetry import SECRETS


class Models:
    """Definitions and providers, kept for the life of the process; threads share them."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        environ: Mapping[str, str],
        make: Callable[[Model, Mapping[str, str]], Provider] = provider_for,
    ) -> None:
        self._store, self._spool, self._environ, self._make = store, spool, environ, make
        self._definitions: dict[str, Definition] = {}
        self._providers: dict[tuple[str, ...], Provider] = {}
        self._lock = threading.Lock()

    def definition(self, batch: Batch) -> Definition:
        """A batch's definition: the store's, else its manifest's. Raises SpoolError for none that can be read."""
        known = self._definitions.get(batch.definition)
        if known is None:
            known = self._stored(batch)
            if known is None:
                known = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key).definition
            if known.hash != batch.definition:
                raise SpoolError(
                    f"batch {batch.batch_key} was planned by definition {batch.definition}, not {known.hash}"
                )
            self._definitions[batch.definition] = known
        return known

    def _stored(self, batch: Batch) -> Definition | None:
        try:
            return self._store.lineage.definition(batch.definition)
        except ValidationError as error:
            # Its own fault, and no other batch's.
            raise SpoolError(
                f"definition {batch.definition} of batch {batch.batch_key} can't be read ({error.errors()[0]['msg']}): "
                "another version of batchline wrote it; run the poller of that version, or a newer one"
            ) from error

    def provider_of(self, batch: Batch) -> Provider:
        """The provider that a batch was, or is to be, sent to."""
        return self.provider_for(self.definition(batch).model)

    def provider_for(self, model: Model) -> Provider:
        """The provider of a model. Its key's name counts as a secret's from here on."""
        key = (model.provider, model.base_url, model.api_key, model.path, str(sorted(model.profile.items())))
        with self._lock:
            if key not in self._providers:
                SECRETS.name(model.api_key)
                self._providers[key] = self._make(model, self._environ)
            return self._providers[key]
