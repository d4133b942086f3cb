"""Which workers are frozen, by what the scheduler says of their heartbeats."""
from occystrap_dask.heartbeats import Heartbeats


class Clock:
    """Tells the time that a test has set."""

    now = 100.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


def test_a_worker_without_a_heartbeat_is_frozen() -> None:
    clock = Clock()
    heartbeats = Heartbeats(3, clock)
    for second in range(5):
        assert not [*heartbeats.frozen({'alive': second, 'silent': 7.0})] or second == 4
        clock.now += 0.9
    assert [*heartbeats.frozen({'alive': 9.0, 'silent': 7.0})] == ['silent']


def test_a_scheduler_that_was_silent_itself_does_not_make_its_workers_frozen() -> None:
    clock = Clock()
    heartbeats = Heartbeats(3, clock)
    assert not [*heartbeats.frozen({'one': 7.0})]
    clock.now += 60
    assert not [*heartbeats.frozen({'one': 7.0})]


def test_a_worker_that_comes_back_begins_anew() -> None:
    clock = Clock()
    heartbeats = Heartbeats(0.5, clock)
    for workers in ({'one': 7.0}, {}, {'one': 7.0}):
        assert not [*heartbeats.frozen(workers)]
        clock.now += 0.9
