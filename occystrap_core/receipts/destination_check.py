"""Verifying a destination: plugins report what they observe, the core judges."""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.errors import OccystrapError
from occystrap_core.plugins.blame import SCARCE, ran_out
from occystrap_core.plugins.manager import Plugin, Plugins
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.judge import Verdict, judge
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResults, Observation, problems


def verify_receipt(plugins: Plugins, receipt: Receipt, level: VerifyLevel, settings: Settings,
                   besides: Observation | None = None) -> Verdict:
    """Return the verdict on one image from the reports of all plugins.

    Only the plugin that declares the receipt's scheme observes what the receipt expects; others add their own findings,
    such as violations of a policy. An exception of one plugin does not suppress the reports of others: the verdict is
    unverified if it could not reach something, otherwise an error. `besides` is an observation of something outside the
    destination, which is judged with those of the receipt. Raises Cancelled: a signal is not a verdict.
    """
    results = CheckResults()
    owners = [(plugin, each) for plugin, each in plugins.declared(WriterScheme)
              if receipt.scheme in (each.name, *each.aliases)]
    silent: list[Plugin] = []
    for plugin, verify_output in plugins.hooks('verify_output'):
        try:
            reported = verify_output(receipt=receipt, level=level, settings=settings)
            _take(reported, results, plugin, receipt, observes=plugin.key in [owner.key for owner, _ in owners])
            silent += [plugin] if reported is not None else []
        except OccystrapError as error:
            results.unverified(plugin.name, str(error))
        except Exception as error:  # a foreign verifier's exception is reported with its name
            if ran_out(error):
                results.unverified(plugin.name, SCARCE)
                continue
            results.error(f'plugin {plugin}', f'its verifier failed: {type(error).__name__}: {error}; report it to its '
                                              'author')
    settings.cancellation.check()
    if len(owners) > 1:
        results.unverified(receipt.destination, f'{receipt.scheme}:// is claimed by '
                                                f'{_names([owner for owner, _ in owners])}')
    elif not results.observations and not problems(results.results):
        owned = any(plugin is owner for plugin in silent for owner, _ in owners)
        said = [] if owned else [f'no installed plugin verifies {receipt.scheme}://']
        results.unverified(receipt.destination, '; '.join(said + [f'{_names(silent)} reported nothing'] * bool(silent)))
    if besides:
        results.observations.append(besides)
        receipt = replace(receipt, expectations=(*receipt.expectations, besides.expectation))
    return judge(receipt, level, results, reports_only=any(each.reports_only for _, each in owners),
                 kinds=[kind for _, each in owners for kind in each.expects if not receipt.by_digest])


def _names(plugins: Sequence[Plugin]) -> str:
    return ' and '.join(map(str, plugins))


def _take(reported: Any, results: CheckResults, plugin: Plugin, receipt: Receipt, *, observes: bool) -> None:
    """Add one plugin's report; raises TypeError if it is not a CheckResults."""
    if reported is None:
        return
    if type(reported) is not CheckResults:  # a subclass could override methods
        raise TypeError(f'verify_output returned {reported!r} instead of CheckResults or None')
    results.results.extend(reported.results)
    if observes:
        results.observations.extend(reported.observations)
        results.settled(reported.settle_seconds)
    elif reported.observations:
        results.warning(f'plugin {plugin}', f'its observations are ignored: {receipt.scheme}:// is not its scheme')
