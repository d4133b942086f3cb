"""How many requests a second a server gets."""
import time
from dataclasses import replace

from occystrap_core import Settings
from occystrap_core.settings import Shared
from occystrap_s3.bucket.connection import Connection
from occystrap_s3.bucket.request_rate import wait_for_turn


def test_the_orders_of_a_worker_keep_one_rate_together() -> None:
    lasting, settings = Shared(), Settings(rate_limit=20)
    before = time.monotonic()
    for _ in range(5):
        wait_for_turn(Connection(), replace(settings, shared=Shared(lasting)))
    assert time.monotonic() - before >= 0.2
