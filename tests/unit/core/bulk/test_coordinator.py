"""The coordinator: what is at work at once, who brings a layer, and what is done about workers that die."""
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import pytest

from occystrap_core.bulk.coordinator import DEATHS, Coordinator
from occystrap_core.bulk.jobs import Job
from occystrap_core.bulk.order_work import Answer, OrderWork, WorkerOptions
from occystrap_core.errors import AccessDenied, OutputError, ServiceUnavailable, TooManyRequests
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan
from occystrap_core.pipeline.lane_threads import REFUSALS

IMAGES = {'a': 'xy', 'b': 'yz', 'c': 'z', 'd': 'w'}
"""Images and their layers."""


HERE = 'registry://host/'
"""Where images are that are only a name."""
MIRROR = 'registry://mirror/'


def _host(name: str) -> str:
    return name.split('/')[2] if '/' in name else 'host'


def _name(work: OrderWork) -> str:
    return work.order.source.removeprefix(HERE)


class Engine(Executor):
    """Keeps what is submitted until `answer` is called; plans are answered at once."""

    def __init__(self) -> None:
        self.copies: dict[str, tuple[OrderWork, Future[Any]]] = {}
        self.most = 0

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Plan, or keep what is to be copied."""
        assert isinstance(work, OrderWork)
        future: Future[Any] = Future()
        if work.plan is None:
            layers = frozenset(IMAGES.get(_name(work), ()))
            hosts = {_host(_name(work)): False}
            future.set_result(Answer(ImagePlan(work.order, 'store', layers, hosts=hosts), 'planner'))
        else:
            self.copies[_name(work)] = work, future
            self.most = max(self.most, len(self.copies))
        return future

    def ended(self, name: str, error: Exception | None = None) -> None:
        """Have a copy end, successfully or with an error in its result."""
        work, future = self.copies.pop(name)
        failure = error if isinstance(error, OutputError | TooManyRequests) else None
        if error and not failure:
            future.set_exception(error)
        else:
            hosts = {_host(name): isinstance(failure, TooManyRequests), 'mirror': False}
            future.set_result(Answer(ImageDone(work.order, error=failure, hosts=hosts), 'worker'))


class Play:
    """A coordinator, what it has done, and what is to happen while it waits."""

    def __init__(self, slots: int = 4) -> None:
        self.engine, self.done = Engine(), dict[str, str]()
        self.happens: Iterator[Callable[[], None]] = iter(())
        self.skips = ''
        self.mistake: Exception | None = None
        """Raised once when a result is reported."""
        self.coordinator = Coordinator(self.engine, slots, WorkerOptions((), 'fast', 0), self._step, self._ended,
                                       lambda: self.skips)

    def run(self, names: Iterable[str], *happens: Callable[[], None]) -> None:
        """Execute the orders of these images, to the mirror; for one without a name there is none yet."""
        self.happens = iter(happens)
        sources = [name if '/' in name else f'{HERE}{name}' for name in names if name]
        jobs = iter([Job(ImageOrder(each, f'{MIRROR}{each.removeprefix(HERE)}')) for each in sources])
        self.coordinator.run(next(jobs) if name else None for name in names)

    def _ended(self, done: ImageDone, worker: str) -> None:
        if mistake := self.mistake:
            self.mistake = None
            raise mistake
        self.done[done.order.source.removeprefix(HERE)] = str(done.error or worker)

    def _step(self) -> None:
        if self.coordinator._ready.empty() and self.engine.copies:
            next(self.happens)()

    def at_work(self, names: str, *ended: str, error: Exception | None = None) -> Callable[[], None]:
        """Return a step: exactly these images are copied now, and some of them end."""
        def step() -> None:
            assert ''.join(sorted(self.engine.copies)) == names
            for each in ended:
                self.engine.ended(each, error)
        return step


def test_an_image_waits_for_the_one_that_brings_its_layer_and_is_told_where_that_is() -> None:
    play = Play()

    def are_told() -> None:
        told = {name: work.brought for name, (work, _) in play.engine.copies.items()}
        assert told == {'b': {'y': f'{MIRROR}a', 'z': f'{MIRROR}c'}, 'd': {}}
    play.run('abcd', play.at_work('acd', 'a'), play.at_work('cd', 'c'), are_told, play.at_work('bd', 'b', 'd'))
    assert set(play.done) == set('abcd')


def test_if_who_brings_a_layer_fails_the_next_one_does() -> None:
    play = Play()

    def nobody_has_it() -> None:
        assert not play.engine.copies['b'][0].brought
    play.run('ab', play.at_work('a', 'a', error=OutputError('full')), nobody_has_it, play.at_work('b', 'b'))
    assert play.done == {'a': 'full', 'b': 'worker'}


def test_an_image_of_a_dead_worker_is_copied_again() -> None:
    play = Play()
    play.run('ab', play.at_work('a', 'a', error=BrokenExecutor('killed')), play.at_work('b', 'b'),
             play.at_work('a', 'a'))
    assert play.done == {'a': 'worker', 'b': 'worker'}


def test_an_image_that_kills_its_workers_fails_alone() -> None:
    play = Play()
    dies = [play.at_work('ad', 'a', error=BrokenExecutor(f'w{number} died')) for number in range(DEATHS)]
    play.run('ad', *dies, play.at_work('d', 'd'))
    assert play.done['d'] == 'worker'
    assert play.done['a'] == (f'{HERE}a: not tried again, since {DEATHS} workers died while copying it: '
                              'w0 died, w1 died, w2 died')


def test_an_image_refused_by_429_is_tried_again_behind_all_others() -> None:
    play, refused = Play(slots=2), TooManyRequests('429: too many requests', 'host')
    play.run('acd', play.at_work('ac', 'a', error=refused), play.at_work('c', 'c'), play.at_work('ad', 'd'),
             play.at_work('a', 'a'))
    assert play.done == {'a': 'worker', 'c': 'worker', 'd': 'worker'} and list(play.done)[-1] == 'a'
    for_good = Play(slots=2)
    for_good.run('a', *[for_good.at_work('a', 'a', error=refused)] * REFUSALS)
    assert for_good.done == {'a': '429: too many requests'}


def test_no_more_are_at_work_than_there_are_slots() -> None:
    play = Play(slots=2)
    play.run('abcd', *(lambda: play.engine.ended(min(play.engine.copies)) for _ in range(4)))
    assert play.engine.most == 2 and set(play.done) == set('abcd')


def test_an_executor_that_is_gone_ends_the_run() -> None:
    play = Play()
    with pytest.raises(ServiceUnavailable, match='scheduler'):
        play.run('ad', play.at_work('ad', 'a', error=ServiceUnavailable('the scheduler is gone')))
    assert play.engine.copies['d'][1].cancelled()


class Denied(Engine):
    """Has workers that are denied access to all images, and can be left out."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Say that access is denied."""
        assert isinstance(work, OrderWork)
        future: Future[Any] = Future()
        future.set_result(Answer(ImageDone(work.order, error=AccessDenied('log in')), 'worker'))
        return future

    def leave_out(self, worker: str, reason: str) -> None:
        """Fail: nobody has access."""
        raise AssertionError(worker)


def test_images_to_which_nobody_has_access_all_fail_however_many() -> None:
    failed = list[str]()
    coordinator = Coordinator(Denied(), 1, WorkerOptions((), 'fast', 0), lambda: None,
                              lambda done, worker: failed.append(str(done.error)))
    coordinator.run(iter([Job(ImageOrder(f'{HERE}{number}', f'{MIRROR}{number}')) for number in range(9)]))
    assert failed == ['log in'] * 9


def test_an_order_that_a_worker_cannot_load_fails_alone() -> None:
    play = Play()
    play.run('ad', play.at_work('ad', 'a', 'd', error=ModuleNotFoundError('No module named occystrap_x')))
    assert play.done['a'] == (f'{HERE}a: no worker could execute it: ModuleNotFoundError: No module named occystrap_x')


def test_nothing_is_begun_any_more_when_the_rest_is_to_be_skipped_also_what_is_planned() -> None:
    play = Play(slots=2)

    def fails() -> None:
        assert set(play.engine.copies) == {'a', 'c'}, 'b is planned, and waits for their layers'
        play.skips = 'skipped'
        play.engine.ended('a', OutputError('full'))
    play.run('abcd', fails, play.at_work('c', 'c'))
    assert play.done == {'a': 'full', 'b': 'skipped', 'd': 'skipped', 'c': 'worker'}


def test_a_mistake_in_reporting_a_result_is_not_put_down_to_a_worker() -> None:
    play = Play()
    play.mistake = ValueError('of the report')
    with pytest.raises(ValueError, match='of the report'):
        play.run('a', play.at_work('a', 'a'))
    assert not play.done


def test_it_says_what_each_worker_has_done_and_what_interrupted_images_have_kept() -> None:
    play = Play()
    play.run('a', play.at_work('a', 'a'))
    assert play.coordinator.by_worker() == {'worker': (1, 0)}
    future: Future[Any] = Future()
    future.set_result(Answer(ImageDone(ImageOrder('b', 'to-b')), 'worker', ('1 layer is kept',)))
    lost: Future[Any] = Future()
    lost.set_exception(BrokenExecutor('killed'))
    for each in (future, lost):
        play.coordinator._ready.put((Job(ImageOrder('b', 'to-b')), each))
    assert play.coordinator.kept() == ['1 layer is kept']


def test_a_host_that_refuses_holds_back_its_own_images_alone() -> None:
    play, one, two = Play(slots=4), 'registry://one/', 'registry://two/'
    refused = TooManyRequests('429: too many requests', 'one')
    names = [*(f'{one}{number}' for number in range(7)), *(f'{two}{number}' for number in range(3))]
    at_work = list[set[str]]()

    def ends(name: str, error: Exception | None = None) -> Callable[[], None]:
        def end() -> None:
            at_work.append(set(play.engine.copies))
            play.engine.ended(name or max(play.engine.copies), error)
        return end
    play.run(names, ends(f'{one}0', refused), ends(f'{one}1'), *[ends('')] * 9)
    assert at_work[:2] == [{*names[:4]}, {*names[1:4], f'{two}0'}]
    assert list(play.done)[-1] == names[0] and {*play.done.values()} == {'worker'} and len(play.done) == 10


def test_it_goes_on_while_the_next_orders_are_not_known_yet() -> None:
    play = Play()
    play.run(['a', '', '', 'd', '', 'b'], *(lambda: play.engine.ended(min(play.engine.copies)) for _ in range(3)))
    assert set(play.done) == set('abd')
