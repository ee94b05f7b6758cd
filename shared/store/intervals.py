"""Arithmetic of half-open runs of offsets [start, end): pure. A run never covers an offset that was not given."""

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same offsets in as few runs as possible, ascending. Raises ValueError for an empty run or an overlap."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            raise ValueError(f"the run [{start}, {end}) is empty")
        if result and start < result[-1][1]:
            raise ValueError(f"the runs {result[-1]} and {(start, end)} overlap")
        if result and start == result[-1][1]:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The offsets that are in any of the runs, in as few as possible, ascending; they may overlap."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def overlapping(left: Sequence[Interval], right: Sequence[Interval]) -> Interval | None:
    """The first offsets that both have; each side is ascending and free of overlaps."""
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            return start, end
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return None
