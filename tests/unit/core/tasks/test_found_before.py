"""Whether the source still has an image is asked of each source for itself."""
import threading
from types import SimpleNamespace
from typing import Any

from occystrap_core.oci.digest import Digest
from occystrap_core.settings import VerifyLevel
from occystrap_core.tasks.earlier_run import EarlierRun, FoundBefore

ANSWER = Digest.of(b'manifest')


class Source:
    """A source that answers when it is let; how often it is asked is counted."""

    def __init__(self) -> None:
        self.requests, self.may_answer, self.count = threading.Event(), threading.Event(), 0

    def present_digest(self, reference: object) -> Digest:
        self.count += 1
        self.requests.set()
        assert self.may_answer.wait(10)
        return ANSWER


def found_before(source: Source) -> FoundBefore:
    task: Any = SimpleNamespace(images=source, reference='app:v1')
    return FoundBefore(SimpleNamespace(), task, EarlierRun(), True, VerifyLevel.FAST)  # type: ignore[arg-type]


def test_a_source_that_is_silent_does_not_hold_up_another() -> None:
    silent, other = Source(), Source()
    waiting = threading.Thread(target=lambda: found_before(silent)._present_digest, daemon=True)
    waiting.start()
    assert silent.requests.wait(10)
    other.may_answer.set()
    answers = list[Digest | None]()
    asking = threading.Thread(target=lambda: answers.append(found_before(other)._present_digest), daemon=True)
    asking.start()
    asking.join(10)
    assert answers == [ANSWER] and waiting.is_alive()
    silent.may_answer.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_it_is_asked_once() -> None:
    source = Source()
    source.may_answer.set()
    found = found_before(source)
    assert [found._present_digest, found._present_digest] == [ANSWER, ANSWER] and source.count == 1
