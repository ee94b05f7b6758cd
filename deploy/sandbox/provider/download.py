"""Streams a file of results from disk, whole or cut as the fault download_cut says."""

from collections.abc import AsyncIterator
from pathlib import Path

from starlette.responses import Response, StreamingResponse

from deploy.sandbox.provider.calls import Call

CHUNK = 1 << 18


def _cut_at(path: Path, size: int, share: float, *, at_line_end: bool) -> int:
    """Return how many bytes to send: to the end of a line, or a few bytes into the next one."""
    wanted = int(size * share)
    with path.open("rb") as file:
        file.seek(wanted)
        file.readline()
        end = min(file.tell(), size)
    return end if at_line_end or end >= size else min(end + 7, size - 1)


async def _stream(path: Path, size: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        left = size
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def results(call: Call, path: str, media_type: str) -> Response:
    """Return the file as a streamed response; providers document no ranges, so there are none."""
    file = Path(path)
    size = file.stat().st_size
    cut = call.fault("download_cut")
    if cut is None:
        return StreamingResponse(_stream(file, size), media_type=media_type, headers={"content-length": str(size)})
    sent = _cut_at(file, size, cut["share"], at_line_end=cut["at"] == "line_end")
    if cut["silent"]:
        # No length is promised, so the client has no way to notice.
        return StreamingResponse(_stream(file, sent), media_type=media_type)
    # uvicorn closes the connection of a response that is shorter than its promised length.
    return StreamingResponse(_stream(file, sent), media_type=media_type, headers={"content-length": str(size)})
