"""Asking every plugin to hold a destination against a receipt."""
from occystrap_core.errors import OccystrapError
from occystrap_core.plugins import Plugins
from occystrap_core.settings import Settings
from occystrap_core.verification.levels import VerifyLevel
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResults


def verify_receipt(plugins: Plugins, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return the findings of all plugins together; nobody's answer, like an empty receipt, is `unverified`.

    A plugin that raises does not silence the others: what it could not reach is unverified, anything else an error.
    """
    results, answers = CheckResults(), 0
    for plugin, verify_output in plugins.hooks('verify_output'):
        try:
            found = verify_output(receipt=receipt, level=level, settings=settings)
            if not isinstance(found, CheckResults | None):
                raise TypeError(f'verify_output returned {found!r}, CheckResults or None is wanted')
        except OccystrapError as error:
            results.unverified(plugin.name, str(error))
        except Exception as error:  # a foreign verifier's fault is named, not ours to crash on
            results.error(f'plugin {plugin}', f'its verifier raised {type(error).__name__}: {error}')
        else:
            if found is not None:
                answers += 1
                results.extend(found)
    if not answers and not results.results:
        results.unverified(receipt.destination, f'no installed plugin verifies {receipt.scheme}://')
    if not receipt.expectations:
        results.unverified(receipt.destination, 'the receipt expects nothing, so nothing was checked')
    return results
