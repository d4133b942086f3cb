"""The only hook of this plugin; imported at every start of occystrap, so it imports nothing heavy."""
import os
from typing import TYPE_CHECKING

from occystrap_core import hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Report what the policy forbids, for destinations of any scheme; None if there is no policy."""
    from occystrap_sizelimit.policy import Policy
    policy = Policy.from_environment(os.environ)
    return policy.check(receipt) if policy else None
