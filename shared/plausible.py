"""Whether a manifest's numbers can be those of a real batch, before anything is made as large as they say. Pure."""

from shared.manifest import Manifest

_SHORTEST_LINE = 3
"""Bytes of a row in a sealed file, with its line's end."""
_MOST_REQUESTS, _MOST_ASKED = 1_000_000, 10_000_000
"""Ten times what any provider takes; and of the records that they hold, which are indexed in memory."""
_MOST_BYTES = 1 << 50


def implausible(manifest: Manifest) -> str | None:
    """What can't be, if anything."""
    rows, own = 0, 0
    for count, fate in manifest.runs:
        if count < 0:
            return f"a run of {count} rows"
        rows += count
        own += 0 if fate == "elsewhere" else count
    if (
        not 0 <= manifest.start <= manifest.end <= _MOST_BYTES
        or rows > (manifest.end - manifest.start) // _SHORTEST_LINE
    ):
        return f"{rows} rows in bytes {manifest.start} to {manifest.end} of its sealed file"
    if not 0 <= manifest.records <= own or not 0 <= manifest.requests <= min(manifest.records, _MOST_REQUESTS):
        return f"{manifest.requests} requests and {manifest.records} records in {own} rows"
    if not 0 <= manifest.bytes <= _MOST_BYTES or not 0 <= manifest.generation < 1 << 16:
        return f"{manifest.bytes} bytes of requests, in generation {manifest.generation}"
    return _packs(manifest) or _unasked(manifest)


def _unasked(manifest: Manifest) -> str | None:
    """Rows that are not asked name a record that is, or have an answer."""
    rows = {fate: sum(count for count, each in manifest.runs if each == fate) for fate in ("request", "echo", "known")}
    asked = rows["request"]
    if len(manifest.echoes) != rows["echo"] or manifest.known != rows["known"]:
        return (
            f"{len(manifest.echoes)} echoes and {manifest.known} known answers for {rows['echo']} and {rows['known']}"
        )
    if not all(0 <= record < asked for record in manifest.echoes):
        return f"an echo of a record that is none of {asked}"
    return None


def _packs(manifest: Manifest) -> str | None:
    if not manifest.packs:
        return None
    requests = asked = 0
    for count, size in manifest.packs:
        if count < 1 or size < 1:
            return f"{count} requests of {size} records"
        requests, asked = requests + count, asked + count * size
    if requests != manifest.requests or asked > min(manifest.records, _MOST_ASKED):
        return f"{requests} requests with {asked} records, where there are {manifest.requests} with {manifest.records}"
    return None
