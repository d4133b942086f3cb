"""What the parts of a run have in common: each thing made once, without anybody else waiting for it."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from occystrap_core.settings import Shared


def test_a_thing_that_is_slow_to_make_holds_up_no_other() -> None:
    shared, begun, gate, made = Shared(), threading.Event(), threading.Event(), list[int]()

    def slow() -> object:
        begun.set()
        assert gate.wait(5)
        made.append(1)
        return object()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(shared.get, 'slow', slow)
        assert begun.wait(5)
        second = threads.submit(shared.get, 'slow', slow)
        assert threads.submit(shared.get, 'other', lambda: 'other').result(5) == 'other'
        gate.set()
        assert first.result(5) is second.result(5) and made == [1]


def test_making_a_thing_may_ask_for_another_and_closes_it_last() -> None:
    shared, closed = Shared(), list[str]()

    class Thing:
        def __init__(self, name: str, *parts: object) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
    shared.get('whole', lambda: Thing('whole', shared.get('part', lambda: Thing('part'))))
    shared.close()
    shared.close()
    assert closed == ['whole', 'part']


def test_a_failed_value_is_made_again() -> None:
    shared = Shared()

    def failing() -> str:
        raise KeyError('broken')
    with pytest.raises(KeyError):
        shared.get('key', failing)
    assert shared.get('key', lambda: 'made') == 'made'
    shared.close()
    assert shared.get('key', lambda: 'anew') == 'anew'
