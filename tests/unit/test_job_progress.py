"""When a bounded job is sealed for good, and what the console says meanwhile."""

from dataclasses import replace

from submitter.job.progress import Ending, Glimpse, Tally, Vertex, line

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


def test_a_checkpoint_proves_the_rows_written_and_one_begun_after_their_file_was_closed_seals() -> None:
    """Rows may still be on their way to the writer when their source has finished."""
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100))
    ending.see(glimpse(109, begun=99))
    assert not ending.sealed(glimpse(109, begun=99))
    ending.see(glimpse(110, begun=104))
    assert not ending.sealed(glimpse(110, begun=104)), "the writer may have had its last row at 109"
    assert not ending.sealed(glimpse(114, begun=113.4))
    assert ending.sealed(glimpse(114, begun=113.6))


def test_each_of_the_two_checkpoints_is_asked_for_once() -> None:
    ending = Ending(settled_after=3.5)
    ending.see(glimpse(100))
    assert ending.should_checkpoint(glimpse(100))
    ending.did_checkpoint()
    ending.see(glimpse(100.5))
    assert not ending.should_checkpoint(glimpse(100.5))
    ending.see(glimpse(101, begun=100.2))
    assert not ending.should_checkpoint(glimpse(104, begun=100.2))
    assert ending.should_checkpoint(glimpse(105, begun=100.2))
    ending.did_checkpoint()
    assert not ending.should_checkpoint(glimpse(106, begun=100.2))


def sealed_by(ending: Ending, looks: list[Glimpse], *, exhausted: bool = False) -> bool:
    for look in looks:
        ending.see(look, exhausted=exhausted)
    return ending.sealed(looks[-1])


def test_a_restart_opens_the_end_again() -> None:
    over = [glimpse(100), glimpse(101, begun=100.5)]
    end = [glimpse(106, begun=105)]
    assert sealed_by(Ending(3.5), over + end)
    assert not sealed_by(Ending(3.5), [*over, glimpse(102, state="RESTARTING"), glimpse(103), *end])


def test_a_restart_between_two_looks_opens_the_end_again() -> None:
    over = [glimpse(100), glimpse(101, begun=100.5)]
    again = replace(glimpse(106, begun=105), restored=1)
    assert not sealed_by(Ending(3.5), [*over, again])


def test_sources_that_are_exhausted_without_finishing_are_over() -> None:
    looks = [(100, None), (101, 100.5), (106, 105)]
    running = [glimpse(now, source="RUNNING", begun=begun) for now, begun in looks]
    assert sealed_by(Ending(3.5), running, exhausted=True)
    assert not sealed_by(Ending(3.5), running)


def test_only_restored_kafka_sources_with_a_checkpoint_of_this_run_may_hang() -> None:
    fresh = glimpse(0, source="RUNNING", begun=1)
    assert not fresh.may_hang
    restored = Glimpse(fresh.state, 0, fresh.vertices, 8, 1, restored=7)
    assert restored.may_hang
    assert not Glimpse(fresh.state, 0, fresh.vertices, 7, 1, restored=7).may_hang


def test_a_line_says_what_is_held_and_why() -> None:
    said = line(1200, Tally(files=2, submitted=3, held=1, reasons=("account: no credit",)))
    assert said == "1,200 records staged, 2 files sealed, 3 batches submitted, 1 held (account: no credit)"


def test_a_line_says_how_many_rows_were_skipped() -> None:
    assert line(9, Tally(skipped=4321)).endswith("0 batches submitted, 4,321 skipped as paid for")


def test_a_pipeline_is_settled_when_nothing_is_unplanned_or_open() -> None:
    assert Tally(held=3).settled
    assert not Tally(open=1).settled
    assert not Tally(unplanned=1).settled
