"""Orders on their way, and the layers that they bring."""
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from occystrap_core.orders import ImageOrder, ImagePlan

_REMEMBERED = 200_000
"""Layers of which it is remembered where they were brought."""


@dataclass(eq=False)
class Job:
    """An order on its way; `earlier` is a receipt of an earlier run, as a line, `goes` the destination without fields.
    """

    order: ImageOrder
    earlier: str = ''
    goes: str = ''
    plan: ImagePlan | None = None
    deaths: list[str] = field(default_factory=list)
    """What happened to each worker that died while it had the order."""
    refusals: int = 0
    brings: frozenset[tuple[str, str]] = frozenset()
    """The layers that it transfers now, each with the place that all images of the destination find it at."""

    def __post_init__(self) -> None:
        self.goes = self.goes or self.order.destination


@dataclass
class Layers:
    """The layers that are on their way to a destination, and those that are known to be there."""

    on_the_way: set[tuple[str, str]] = field(default_factory=set)
    there: 'OrderedDict[tuple[str, str], str]' = field(default_factory=OrderedDict)
    """The destination of an image that has the layer."""

    def missing(self, plan: ImagePlan) -> frozenset[tuple[str, str]]:
        """Return what nobody has brought."""
        layers = {(plan.store, digest) for digest in plan.layers} if plan.store else set()
        return frozenset(each for each in layers if each not in self.there)

    def brought(self, plan: ImagePlan) -> Mapping[str, str]:
        """Return the digests of what others brought, each with the destination that has it."""
        known = [digest for digest in plan.layers if (plan.store, digest) in self.there]
        for digest in known:  # what is used most is forgotten last
            self.there.move_to_end((plan.store, digest))
        return {digest: self.there[plan.store, digest] for digest in known}

    def ended(self, job: Job, succeeded: bool) -> None:
        """Let others bring what a failed image did not, and find what a good one has."""
        self.on_the_way -= job.brings
        if succeeded:
            self.there.update(dict.fromkeys(job.brings, job.goes))
        while len(self.there) > _REMEMBERED:
            self.there.popitem(last=False)
        job.brings = frozenset()
