"""Orders under way, and the layers that they transfer."""
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from occystrap_core.orders import ImageOrder, ImagePlan

_REMEMBERED = 200_000
"""Number of layers whose location is remembered."""


@dataclass(eq=False)
class Job:
    """An order under way; `earlier` is a receipt of an earlier run, as a line, `goes` the destination with its fields
    filled in."""

    order: ImageOrder
    earlier: str = ''
    goes: str = ''
    plan: ImagePlan | None = None
    deaths: list[str] = field(default_factory=list)
    """What happened to each worker that died while it had the order."""
    refusals: int = 0
    brings: frozenset[tuple[str, str]] = frozenset()
    """The layers that it transfers now, each as (store, digest)."""

    def __post_init__(self) -> None:
        self.goes = self.goes or self.order.destination


@dataclass
class Layers:
    """The layers on their way to destinations, and those known to be there, each as (store, digest)."""

    on_the_way: set[tuple[str, str]] = field(default_factory=set)
    there: 'OrderedDict[tuple[str, str], str]' = field(default_factory=OrderedDict)
    """For each layer the destination of an image that has it."""

    def missing(self, plan: ImagePlan) -> frozenset[tuple[str, str]]:
        """Return the layers of an image that no other image is known to have brought."""
        layers = {(plan.store, digest) for digest in plan.layers} if plan.store else set()
        return frozenset(each for each in layers if each not in self.there)

    def brought(self, plan: ImagePlan) -> Mapping[str, str]:
        """Return the digests of layers that other images brought, each with the destination of such an image."""
        known = [digest for digest in plan.layers if (plan.store, digest) in self.there]
        for digest in known:  # so that often used layers are forgotten last
            self.there.move_to_end((plan.store, digest))
        return {digest: self.there[plan.store, digest] for digest in known}

    def ended(self, job: Job, succeeded: bool) -> None:
        """Release the layers of a job: after a failure other images transfer them, after a success they find them."""
        self.on_the_way -= job.brings
        if succeeded:
            self.there.update(dict.fromkeys(job.brings, job.goes))
        while len(self.there) > _REMEMBERED:
            self.there.popitem(last=False)
        job.brings = frozenset()
