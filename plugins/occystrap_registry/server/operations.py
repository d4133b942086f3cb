"""Additions for operators: health checks, an access log, metrics, and a status page."""
from pathlib import Path

from occystrap_registry.server.exchange import AccessLog, ExchangeLog
from occystrap_registry.server.health import ROUTES
from occystrap_registry.server.metrics import Metrics
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.server_thread import ServerSettings
from occystrap_registry.server.status_page import StatusPage


def with_operations(settings: ServerSettings, title: str, place: str, log: Path | None,
                    ) -> tuple[ServerSettings, Metrics]:
    """Return the settings with all of these, and the metrics, to which others may add.

    `title` and `place` are shown on the page: what this is, and what it serves. Raises OutputError for the log.
    """
    recent = settings.recent or RecentImages()
    metrics = Metrics(recent)
    page = StatusPage(title, place, metrics)
    logs: list[ExchangeLog] = [metrics, *([AccessLog(log)] if log else [])]
    routes = [*metrics.routes(), *page.routes()]
    return settings._replace(logs=logs, public=ROUTES, recent=recent, routes=routes), metrics
