"""When a bounded run ends: Flink says that its checkpoint is complete before every file of it can be seen."""

import threading
from dataclasses import dataclass

from submitter.job.progress import Ending, Glimpse, Tally, Vertex
from submitter.run.watch import Watch

SOURCE, WRITER = "kafka", "writer"
VERTICES = (
    Vertex(SOURCE, "Source: KafkaSource-c.d.__batchline_topic_0_0 -> Calc[2]", "FINISHED", (), 0),
    Vertex("endless", "Source: __batchline_endless[5] -> Calc[6]", "RUNNING", (), 0),
    Vertex(WRITER, "StreamingFileWriter -> end: Writer", "RUNNING", (SOURCE, "endless"), 12),
)


@dataclass
class Job:
    """A job whose input is over, and whose checkpoints are complete at once; each look is a second later."""

    now: float = 100.0
    checkpoints: int = 0
    begun: float | None = None

    def glimpse(self, job_id: str) -> Glimpse:
        del job_id
        self.now += 1.0
        return Glimpse("RUNNING", self.now, VERTICES, self.checkpoints or None, self.begun)

    def checkpoint(self, job_id: str) -> None:
        del job_id
        self.checkpoints, self.begun = self.checkpoints + 1, self.now + 0.1

    def failures(self, job_id: str) -> list[str]:
        del job_id
        return []


def test_a_file_that_shows_after_its_checkpoint_is_complete_is_waited_for() -> None:
    """Committed by a task, at an object store some time later, and planned by then."""
    tallies = [Tally(files=0), Tally(files=1, unplanned=1)]
    counted: list[Tally] = []

    def tally() -> Tally:
        counted.append(tallies.pop(0) if tallies else Tally(files=1, submitted=1))
        return counted[-1]

    watch = Watch(
        flink=Job(),
        job_id="job",
        ending=Ending(0.0),
        tally=tally,
        say=lambda _: None,
        stop=threading.Event(),
        restored=False,
        bounded=True,
        exhausted=lambda _: False,
        is_current=lambda: True,
        changed=lambda: None,
        ended=lambda: None,
    )
    assert watch.follow() == "finished"
    assert Tally(files=1, unplanned=1) in counted
    assert counted[-1].submitted == 1
