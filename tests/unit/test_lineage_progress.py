"""When a bounded job is sealed for good, and what the console says meanwhile."""

from submitter.progress import Ending, Glimpse, Tally, Vertex, line

SOURCE, WRITER = "kafka", "writer"


def glimpse(now: float, *, source: str = "FINISHED", state: str = "RUNNING", begun: float | None = None) -> Glimpse:
    return Glimpse(
        state=state,
        now=now,
        vertices=(
            Vertex(SOURCE, "Source: KafkaSource-c.d.__batchline_topic_0_0 -> Calc[2]", source, (), 0),
            Vertex("e", "Source: __batchline_endless[5] -> Calc[6]", "RUNNING", (), 0),
            Vertex("t", "Source: __batchline_ticks[1] -> Calc[2]", "RUNNING", (), 0),
            Vertex(WRITER, "StreamingFileWriter -> end: Writer", "RUNNING", (SOURCE, "e"), 12),
            Vertex("submit", "submit -> __batchline_events[9]: Writer", "RUNNING", ("t",), 4),
        ),
        checkpoint=None if begun is None else 1,
        checkpoint_begun=begun,
    )


def test_our_own_sources_do_not_keep_the_input_open() -> None:
    assert glimpse(0).input_over
    assert not glimpse(0, source="RUNNING").input_over


def test_a_job_that_has_not_been_deployed_is_not_over() -> None:
    assert not Glimpse("INITIALIZING", 0, (), None, None).input_over


def test_only_a_checkpoint_begun_after_the_last_file_was_closed_seals() -> None:
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100))
    assert not ending.sealed(glimpse(110))
    assert not ending.sealed(glimpse(110, begun=103.4))
    assert ending.sealed(glimpse(110, begun=103.6))


def test_a_checkpoint_is_asked_for_once_when_the_last_file_must_be_closed() -> None:
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100))
    assert not ending.should_checkpoint(glimpse(103))
    assert ending.should_checkpoint(glimpse(104))
    ending.did_checkpoint()
    assert not ending.should_checkpoint(glimpse(105))


def test_a_restart_opens_the_end_again() -> None:
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100))
    ending.see(glimpse(101, state="RESTARTING"))
    ending.see(glimpse(102))
    assert not ending.sealed(glimpse(110, begun=104))
    assert ending.sealed(glimpse(110, begun=106))


def test_sources_that_are_exhausted_without_finishing_are_over() -> None:
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100, source="RUNNING"), exhausted=True)
    assert ending.sealed(glimpse(110, source="RUNNING", begun=104))


def test_only_restored_kafka_sources_with_a_checkpoint_of_this_run_may_hang() -> None:
    fresh = glimpse(0, source="RUNNING", begun=1)
    assert not fresh.may_hang
    restored = Glimpse(fresh.state, 0, fresh.vertices, 8, 1, restored=7)
    assert restored.may_hang
    assert not Glimpse(fresh.state, 0, fresh.vertices, 7, 1, restored=7).may_hang


def test_a_line_says_what_is_held_and_why() -> None:
    said = line(1200, Tally(files=2, submitted=3, held=1, reasons=("account: no credit",)))
    assert said == "1,200 records staged, 2 files sealed, 3 batches submitted, 1 held (account: no credit)"


def test_a_pipeline_is_settled_when_nothing_is_unplanned_or_open() -> None:
    assert Tally(held=3).settled
    assert not Tally(open=1).settled
    assert not Tally(unplanned=1).settled
