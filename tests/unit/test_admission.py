"""Who is admitted to a provider's queue, in which order: the rule, and that nobody waits for ever."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.admission import CREATES, TOO_LARGE, Queue, Unit, Waiting, fits, too_large, turn_of, turns, wait
from shared.lessons import POLICY, Learned

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIMIT = 100


def line(*needs: int) -> list[Waiting]:
    return [Waiting(f"k-{number}", need) for number, need in enumerate(needs)]


def admitted(queue: Queue, now: datetime = NOON) -> list[str]:
    return [turn.batch.key for turn in turns(queue, now)]


def known(limit: int = LIMIT, **more: object) -> Learned:
    return replace(Learned(limit, NOON, NOON), **more)  # type: ignore[arg-type]  # fields by name


def test_first_sealed_is_first_admitted_and_no_more_than_fits() -> None:
    assert admitted(Queue(line(30, 30, 30, 30), used=20, learned=known())) == ["k-0", "k-1"]


def test_what_fits_may_pass_what_does_not() -> None:
    queue = Queue(line(60, 20), used=50, learned=known())
    assert admitted(queue) == ["k-1"]
    turn = turn_of(queue, "k-1", NOON)
    assert turn is not None
    assert [each.key for each in turn.passes] == ["k-0"]


def test_no_more_passes_a_batch_than_it_needs_itself() -> None:
    queue = Queue([Waiting("large", 60, yielded=50), *line(20, 10)], used=50, learned=known())
    assert admitted(queue) == ["k-1"]
    assert admitted(replace(queue, line=[Waiting("large", 60, yielded=60), *line(20, 10)])) == []


def test_one_larger_than_the_queue_waits_until_it_is_empty() -> None:
    assert admitted(Queue(line(300), used=1, learned=known())) == []
    assert admitted(Queue(line(300, 1), learned=known())) == ["k-0"]


def test_without_a_known_limit_a_few_are_tried_and_more_as_they_are_taken() -> None:
    many = line(*[5] * 200)
    assert len(admitted(Queue(many))) == POLICY.trial
    assert len(admitted(Queue(many, on_trial=5))) == POLICY.trial - 5
    assert len(admitted(Queue(many, on_trial=8, taken=8))) == 8
    assert len(admitted(Queue(many, on_trial=50, taken=POLICY.trusted))) == 200


def test_a_queue_that_others_fill_is_left_alone_and_then_tried_by_one() -> None:
    full = known(full_at=NOON, full_until=NOON + SECOND, refusals=1)
    assert admitted(Queue(line(5, 5), learned=full)) == []
    assert admitted(Queue(line(5, 5), learned=full), NOON + SECOND) == ["k-0"]
    assert admitted(Queue(line(5, 5), on_trial=1, learned=full), NOON + SECOND) == []


def test_an_old_limit_is_doubted_by_one_batch() -> None:
    later = NOON + POLICY.memory
    queue = Queue(line(20, 20), used=90, learned=known())
    assert admitted(queue) == []
    assert admitted(queue, later) == ["k-0"]
    assert admitted(replace(queue, on_trial=1), later) == []
    assert admitted(replace(queue, stated=LIMIT), later) == [], "what an option states is not doubted"


def test_creates_of_an_hour_are_counted() -> None:
    assert admitted(Queue(line(1, 1, 1), creates=2)) == ["k-0", "k-1"]
    assert admitted(Queue(line(1), creates=0)) == []
    assert not fits(Queue([], creates=0), 1, NOON)


def test_what_was_let_in_is_sent_only_while_there_is_room() -> None:
    assert fits(Queue([], used=60, learned=known()), 40, NOON)
    assert not fits(Queue([], used=60, learned=known()), 41, NOON)
    assert fits(Queue([], used=60, learned=known()), 41, NOON + POLICY.memory)
    assert fits(Queue([], used=0, learned=known()), 400, NOON)


@pytest.mark.parametrize(
    ("queue", "reason", "until"),
    [
        (Queue(line(5), creates=0, next_create_at=NOON + SECOND), f"{CREATES}: as many", NOON + SECOND),
        (Queue(line(60, 60), used=50, learned=known()), "tokens: 50 of 100 are in use, and it needs about 60; 1 seal",
         NOON + POLICY.look),
        (Queue(line(1, 600), learned=known()), "tokens: 0 of 100 are in use, and it needs about 600, more than",
         NOON + POLICY.look),
        (Queue(line(5, 5), on_trial=8), "tokens: 8 others must be taken in first", NOON + POLICY.trial_lasts),
        (Queue(line(5), learned=known(full_until=NOON + SECOND)), "tokens: the provider's queue is full",
         NOON + SECOND),
    ],
)  # fmt: skip
def test_who_waits_is_told_why_and_how_long(queue: Queue, reason: str, until: datetime) -> None:
    told = wait(queue, Unit.TOKENS, queue.line[-1], NOON)
    assert told.reason.startswith(reason)
    assert told.until == until


def test_one_that_was_refused_alone_is_told_what_to_do() -> None:
    told = too_large(Unit.TOKENS, 300, LIMIT, "token_limit_exceeded: no", NOON)
    assert told.reason.startswith(f"{TOO_LARGE}: it needs about 300 tokens, and the limit is 100")
    assert "batch.max-bytes" in told.reason
    assert told.until > NOON


@dataclass
class Provider:
    """A queue with a limit, into which batches are sent as the rule says, and out of which they come in any order."""

    limit: int
    line: list[Waiting] = field(default_factory=list)
    inside: list[Waiting] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)

    def queue(self) -> Queue:
        return Queue(self.line, used=sum(each.need for each in self.inside), learned=known(self.limit))

    def arrive(self, need: int) -> None:
        self.line.append(Waiting(f"{len(self.passed):04}", need))
        self.passed[self.line[-1].key] = 0

    def admit(self) -> bool:
        """Send the first whose turn it is."""
        turn = next(turns(self.queue(), NOON), None)
        if turn is None:
            return False
        for each in turn.passes:
            self.passed[each.key] += turn.batch.need
        passing = {each.key for each in turn.passes}
        self.line = [
            replace(each, yielded=each.yielded + turn.batch.need) if each.key in passing else each
            for each in self.line
            if each.key != turn.batch.key
        ]
        self.inside.append(turn.batch)
        return True


NEEDS = st.integers(1, LIMIT)
STEPS = st.lists(st.one_of(NEEDS, st.just("admit"), st.tuples(st.just("end"), st.integers(0, 99))), max_size=80)


@given(steps=STEPS)
def test_the_limit_is_kept_and_every_batch_is_admitted_in_its_order(
    steps: list[int | str | tuple[str, int]],
) -> None:
    """Whatever arrives, is sent and ends, in any order: each batch comes in, passed by its own size at most."""
    provider = Provider(LIMIT)

    def check() -> None:
        assert sum(each.need for each in provider.inside) <= LIMIT
        waiting = {each.key: each.need for each in provider.line}
        assert all(provider.passed[key] <= need for key, need in waiting.items())

    for step in steps:
        match step:
            case int():
                provider.arrive(step)
            case (_, int(number)) if provider.inside:
                provider.inside.pop(number % len(provider.inside))
            case "admit":
                provider.admit()
        check()
    ends = 0
    while provider.line:
        while provider.admit():
            check()
        if provider.line:
            assert provider.inside, "the queue is empty, and somebody waits"
            provider.inside.pop(0)
            ends += 1
    assert ends <= len(steps)


@given(large=NEEDS, small=st.integers(1, 20), seed=st.randoms(use_true_random=False))
def test_an_endless_stream_of_small_ones_does_not_starve_a_large_one(large: int, small: int, seed: object) -> None:
    """Nor does the large one keep the small ones out while there is room that it can't use."""
    provider = Provider(LIMIT)
    while sum(each.need for each in provider.inside) + small <= LIMIT:
        provider.arrive(small)
        assert provider.admit()
    provider.arrive(large)
    key = provider.line[-1].key
    for _ in range(2 * LIMIT):
        provider.inside.pop(seed.randrange(len(provider.inside)))  # type: ignore[attr-defined]  # hypothesis's Random
        provider.arrive(small)
        while provider.admit():
            pass
        if all(each.key != key for each in provider.line):
            break
    else:
        pytest.fail("the large one still waits")
    assert provider.passed[key] <= large
