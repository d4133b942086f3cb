"""What travels to a worker: plain values, without what the client knows for itself."""
import pickle

from occystrap_core.bulk.order_work import OrderWork, WorkerOptions
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan
from occystrap_core.settings import Settings, VerifyLevel

CANARY = 'canary-4711'
ORDER = ImageOrder('registry://127.0.0.1:1/app:v1', 'registry://127.0.0.1:1/copy:v1')


def options(settings: Settings, slots: int = 4) -> WorkerOptions:
    """Return the options of a run."""
    return WorkerOptions.of(settings, VerifyLevel.FULL, True, False, slots)


def test_passwords_of_the_client_do_not_travel() -> None:
    settings = Settings(login=('ann', CANARY), credentials={'127.0.0.1:1': ('ann', CANARY)}, temporary=f'/{CANARY}')
    settings.shared.get(dict, lambda: {'token': CANARY})
    work = OrderWork(ORDER, options(settings), plan=ImagePlan(ORDER, 'store', frozenset('x'), {'a': (b'{}', 'json')}))
    sent = pickle.dumps(work)
    assert CANARY.encode() not in sent and b'ann' not in sent
    assert pickle.loads(sent).plan == work.plan and pickle.loads(sent).options == work.options


def test_workers_share_the_rate_limit_of_a_host() -> None:
    assert dict(options(Settings(rate_limit=10.0), 4).fields)['rate_limit'] == 2.5
    assert dict(options(Settings(), 4).fields)['rate_limit'] is None


def test_a_worker_of_another_version_says_so() -> None:
    answer = OrderWork(ORDER, options(Settings())._replace(version='9.9'))()
    assert isinstance(answer.result, ImageDone) and answer.worker in str(answer.result.error)
    assert 'this is 9.9: install that version there' in str(answer.result.error)


def test_stopped_before_it_begins_it_does_nothing() -> None:
    work = OrderWork(ORDER, options(Settings(retries=0)))
    work.stop()
    answer = work()
    assert isinstance(answer.result, ImageDone) and str(answer.result.error) == 'interrupted'
