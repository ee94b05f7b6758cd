"""The failpoints of one run: the planned kills, in a folder that all its processes share, and how many struck."""

from collections.abc import Sequence
from pathlib import Path

from shared.failpoints import PASSES, PLAN, STRUCK, VARIABLE
from tests.chaos.case import Kill


class FailpointPlan:
    """A kill is armed when the one before it has struck, and counts its passes from then on."""

    def __init__(self, folder: Path, kills: Sequence[Kill]) -> None:
        self._folder, self._kills = folder, tuple(kills)
        folder.mkdir()
        (folder / PLAN).write_text("".join(f"{kill.failpoint} {kill.nth}\n" for kill in kills))
        self.struck = 0

    def environ(self) -> dict[str, str]:
        """What turns them on in a process of this run."""
        return {VARIABLE: str(self._folder)}

    def look(self) -> bool:
        """Whether one has struck since the last look."""
        path = self._folder / STRUCK
        before, self.struck = self.struck, path.stat().st_size // 2 if path.exists() else 0
        return self.struck > before

    def passes(self) -> dict[str, int]:
        """How often each failpoint was passed before the first kill struck."""
        found = self._folder.glob(f"{PASSES}.0.*")
        return {path.name.removeprefix(f"{PASSES}.0."): path.stat().st_size for path in found}
