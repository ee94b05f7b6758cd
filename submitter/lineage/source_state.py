"""Whether the bounded Kafka sources of a restored job have read all they will: asked of its last checkpoint.

Such a source never finishes after a restore (FLINK-31006, open in connector 5.0.0): the reader that has no split left
waits for a word that the restored enumerator doesn't send. The checkpoint says as much: no reader holds a split.
"""

from collections.abc import Sequence
from typing import Any

from submitter.gateway import gateway
from submitter.lineage.checkpoints import metadata
from submitter.lineage.lineage import Checkpoint

_SOURCE, _SPLITS = "KafkaSource-", "SourceReaderState"
_ENUMERATOR = "org.apache.flink.connector.kafka.source.enumerator.KafkaSourceEnumStateSerializer"


def exhausted(checkpoints: Sequence[Checkpoint]) -> bool:
    """Whether the newest checkpoint's readers hold no split, and its enumerators have none to give.

    False for one that is gone by now, or without any Kafka source.
    """
    newest = max(checkpoints, key=lambda checkpoint: checkpoint.number, default=None)
    data = metadata(newest) if newest else b""
    return bool(data) and _all_exhausted(data)


def _all_exhausted(data: bytes) -> bool:
    jvm = gateway().jvm
    stream = jvm.java.io.DataInputStream(jvm.java.io.ByteArrayInputStream(data))
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    metadata = jvm.org.apache.flink.runtime.checkpoint.Checkpoints.loadCheckpointMetadata(stream, loader, "")
    operators = metadata.getOperatorStates().toArray()
    sources = [operator for operator in operators if _SOURCE in str(operator.getOperatorName().orElse(""))]
    return bool(sources) and all(_is_exhausted(operator, loader) for operator in sources)


def _is_exhausted(operator: Any, loader: Any) -> bool:
    if operator.isFullyFinished():
        return True
    handle = operator.getCoordinatorState()
    return handle is not None and _splits(operator) == 0 and _nothing_to_give(bytes(handle.getData()), loader)


def _splits(operator: Any) -> int:
    held = 0
    for subtask in operator.getStates().toArray():
        for handle in subtask.getManagedOperatorState().toArray():
            state = dict(handle.getStateNameToPartitionOffsets()).get(_SPLITS)
            held += len(state.getOffsets()) if state is not None else 0
    return held


def _nothing_to_give(coordinator: bytes, loader: Any) -> bool:
    """From the coordinator's own framing: its version, the enumerator's version, a length, the enumerator's bytes."""
    version, size = int.from_bytes(coordinator[4:8], "big"), int.from_bytes(coordinator[8:12], "big")
    serializer = loader.loadClass(_ENUMERATOR).getConstructors()[0].newInstance(None)
    enumerator = serializer.deserialize(version, coordinator[12 : 12 + size])
    return bool(enumerator.initialDiscoveryFinished()) and bool(enumerator.unassignedSplits().isEmpty())
