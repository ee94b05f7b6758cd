"""A ceiling on what is asked synchronously."""

from hypothesis import given
from hypothesis import strategies as st

from poller.ask.ceiling import Ceiling


def price(input_tokens: int, output_tokens: int) -> float:
    return input_tokens * 1e-6 + output_tokens * 8e-6


calls = st.lists(
    st.tuples(
        st.integers(1, 4000), st.sampled_from(["settle", "release", "forfeit"]), st.sampled_from([0.0, 0.3, 1.0])
    ),
    min_size=20,
    max_size=60,
)


@given(st.integers(0, 20).map(lambda answers: price(100, 200) * answers), calls, st.integers(1, 8))
def test_as_long_as_no_call_costs_more_than_its_estimate_the_ceiling_holds(
    limit: float, made: list[tuple[int, str, float]], at_once: int
) -> None:
    ceiling = Ceiling(limit, price, answer=200)
    spent, open_ = 0.0, []
    for number, (size, end, share) in enumerate(made):
        if not ceiling.reserve(number, size):
            continue
        open_.append((number, size, end, share))
        if len(open_) < at_once:
            continue
        request, length, how, part = open_.pop(0)
        if how == "settle":
            used, told = int(length // 4 * part), int(200 * part)
            ceiling.settle(request, used, told)
            spent += price(used, told)
        elif how == "release":
            ceiling.release(request)
        else:
            ceiling.forfeit(request, length)
            spent += price(length // 4, 200)
    assert spent <= limit + 1e-9
    assert abs(ceiling.spent - spent) < 1e-9


def test_answers_that_cost_more_than_expected_make_the_next_ones_dearer() -> None:
    ceiling = Ceiling(1.0, price, answer=200)
    expected = ceiling.estimate(400)
    assert ceiling.reserve(0, 400)
    ceiling.settle(0, 100, 2000)
    dearer = ceiling.estimate(400)
    assert expected is not None
    assert dearer is not None
    assert dearer > 9 * expected


def test_what_others_have_spent_counts() -> None:
    one = price(100, 200)
    assert Ceiling(2 * one, price, answer=200, spent=0.9 * one).reserve(0, 400)
    assert not Ceiling(2 * one, price, answer=200, spent=1.1 * one).reserve(0, 400)


def test_without_a_known_price_a_ceiling_lets_nothing_through() -> None:
    assert not Ceiling(100.0, lambda _used, _made: None, answer=200).reserve(0, 400)


def test_without_a_limit_everything_fits_and_no_price_is_asked_for() -> None:
    def never(_used: int, _made: int) -> float:
        raise AssertionError("nobody needs it")

    ceiling = Ceiling(None, never, answer=200)
    assert ceiling.reserve(0, 400)
    ceiling.settle(0, 1, 1)
    ceiling.forfeit(1, 400)
