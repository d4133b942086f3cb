"""The conformance kit finds policies that break a rule, each by the test that is named like the rule."""
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Receipt, VerifyLevel
from occystrap_core.testing.policy_conformance import PolicyConformance, receipt_of
from tests.unit.core.testing.careless_policies import POLICIES


class Limited(PolicyConformance):
    def accepted(self) -> Sequence[Receipt]:
        return [receipt_of({'a': 100}, 'registry.example/small:v1')]

    def refused(self) -> Sequence[Receipt]:
        return [receipt_of({'a': 100, 'b': 101}, 'registry.example/large:v1')]


def run(policy: str, test: str, **given: Any) -> None:
    """Run one test of the kit."""
    kit = Limited()
    kit.plugin = f'tests.unit.core.testing.careless_policies:{policy}'
    call = getattr(kit, test)
    call(**{name: given[name] for name in inspect.signature(call).parameters})


@pytest.mark.parametrize('policy', sorted(POLICIES.keys() - {'right'}))
def test_a_wrong_policy_is_found_and_the_right_one_passes(policy: str, tmp_path: Path,
                                                          capfd: pytest.CaptureFixture[str]) -> None:
    _, test, says = POLICIES[policy]
    for name in ('right', policy):
        (tmp_path / name).mkdir()
    with pytest.raises(AssertionError, match=says):
        run(policy, test, tmp_path=tmp_path / policy, capfd=capfd, level=VerifyLevel.FAST)
    run('right', test, tmp_path=tmp_path / 'right', capfd=capfd, level=VerifyLevel.FAST)
