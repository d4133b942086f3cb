"""Plugins, good and bad: one that fails is named and does not stop others; the hooks are documented and used."""
import inspect
import re
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import occystrap_core
from occystrap_core.api import hookspecs
from occystrap_core.api.hookspecs import hookimpl
from occystrap_core.api.schemes import CommandDeclaration, ExecutorKind, FilterKind, InputScheme, WriterScheme
from occystrap_core.errors import PluginError, ServiceUnavailable, UnknownScheme
from occystrap_core.oci.digest import Digest
from occystrap_core.plugins.manager import OFFICIAL, Plugins, build_plugin_manager
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import READ, CheckResults, Outcome

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Distribution:
    """The part of a distribution that is used."""

    name: str
    version: str = '1.0'


@dataclass(frozen=True)
class FakeEntryPoint:
    """An entry point that loads what it is given."""

    name: str
    dist: Distribution
    loaded: Callable[[], object]
    value: str = 'a.module'

    def load(self) -> Any:
        return self.loaded()


def plugin(name: str, distribution: str = '', **hooks: Callable[..., object]) -> FakeEntryPoint:
    """Return the entry point of a module with these hooks."""
    module = types.ModuleType(f'module_of_{name}')
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return FakeEntryPoint(name, Distribution(distribution or f'dist-{name}'), lambda: module)


def writers(*names: str) -> Callable[[], Iterable[WriterScheme]]:
    """Return a hook that declares schemes."""
    return lambda: [WriterScheme(name, 'x:Y', aliases=[f'{name}-alias']) for name in names]


def build(*entry_points: FakeEntryPoint, disabled: Iterable[str] = ()) -> Plugins:
    """Return the plugins of these entry points."""
    return build_plugin_manager(entry_points, disabled)


def fail_to_import() -> object:
    raise ImportError("No module named 'nowhere'")


def raising() -> object:
    raise RuntimeError('on purpose')


BROKEN = {
    'import': (FakeEntryPoint('bad', Distribution('dist-bad'), fail_to_import), "No module named 'nowhere'"),
    'misspelt': (plugin('bad', register_wrtiers=lambda: []), 'register_wrtiers'),
    'parameters': (plugin('bad', register_writers=lambda receipt: []), 'receipt'),
    'raises': (plugin('bad', register_writers=raising), 'on purpose'),
    'type': (plugin('bad', register_writers=lambda: [InputScheme('x', 'y:Z')]), 'expected a WriterScheme'),
    'no list': (plugin('bad', register_inputs=lambda: None), 'register_inputs returned None'),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_plugin_is_named_with_its_reason_and_leaves_the_others_alone(kind: str) -> None:
    entry_point, reason = BROKEN[kind]
    plugins = build(plugin('good', register_writers=writers('good')), entry_point,
                    plugin('last', register_writers=writers('last')))
    assert [each.distribution for each in plugins.failed] == ['dist-bad'] and reason in plugins.failed[0].failure
    assert plugins.find(WriterScheme, 'good').name == 'good' and plugins.find(WriterScheme, 'last-alias').name == 'last'
    assert [name for name, _ in plugins.hooks('verify_output')] == []
    with pytest.raises(PluginError, match='dist-bad'):
        plugins.find(WriterScheme, 'bad')


class HooksOfAnObject:
    """A plugin that is no module; `broken` must not be looked at."""

    @hookimpl
    def register_writers(self) -> Iterable[WriterScheme]:
        return [WriterScheme('mine', 'x:Y')]

    @property
    def broken(self) -> object:
        raise RuntimeError('on purpose')


def test_hooks_may_be_methods_in_a_module_or_the_plugin_an_object() -> None:
    module = types.ModuleType('bound')
    setattr(module, 'register_writers', HooksOfAnObject().register_writers)
    setattr(module, 'HooksOfAnObject', HooksOfAnObject)
    for found in (build(FakeEntryPoint('mine', Distribution('dist-mine'), lambda: module)),
                  build(FakeEntryPoint('mine', Distribution('dist-mine'), HooksOfAnObject))):
        assert not found.failed and found.find(WriterScheme, 'mine')


def test_each_kind_of_declaration_is_found_by_its_name() -> None:
    plugins = build(plugin('all', register_inputs=lambda: [InputScheme('in', 'x:Y')], register_writers=writers('out'),
                           register_filters=lambda: [FilterKind('sieve', 'x:Y')],
                           register_commands=lambda: [CommandDeclaration('do', 'x:y')],
                           register_executors=lambda: [ExecutorKind('cluster', 'x:y')]))
    assert plugins.find(InputScheme, 'in') and plugins.find(WriterScheme, 'out') and plugins.find(FilterKind, 'sieve')
    assert [each.name for _, each in plugins.declared(CommandDeclaration)] == ['do']
    assert plugins.find(ExecutorKind, 'cluster')
    with pytest.raises(UnknownScheme, match='install the wheel of occystrap-dask'):
        plugins.find(ExecutorKind, 'dask')


def test_strict_makes_a_broken_plugin_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OCCYSTRAP_STRICT_PLUGINS', '1')
    with pytest.raises(PluginError, match='dist-bad'):
        build(BROKEN['import'][0])


def test_two_distributions_may_use_one_entry_point_name() -> None:
    plugins = build(plugin('same', 'one', register_writers=writers('first')),
                    plugin('same', 'two', register_writers=writers('second')))
    assert plugins.find(WriterScheme, 'first') and plugins.find(WriterScheme, 'second') and not plugins.failed


def test_two_claims_are_an_error_for_who_asks_that_names_both() -> None:
    plugins = build(plugin('a', register_writers=writers('x', 'y')), plugin('b', register_writers=writers('x')))
    assert plugins.find(WriterScheme, 'y').name == 'y'
    with pytest.raises(PluginError, match='dist-a.*dist-b'):
        plugins.find(WriterScheme, 'x')
    assert build(plugin('a', register_writers=writers('x')), plugin('b', register_writers=writers('x')),
                 disabled=['dist-b']).find(WriterScheme, 'x')


def test_unknown_schemes_are_met_with_advice() -> None:
    plugins = build(plugin('a', register_writers=writers('directory')))
    with pytest.raises(UnknownScheme, match="did you mean 'directory'"):
        plugins.find(WriterScheme, 'directroy')
    with pytest.raises(UnknownScheme, match='install the wheel of occystrap-registry'):
        plugins.find(WriterScheme, 'registry')
    with pytest.raises(UnknownScheme, match='install the wheels of'):
        plugins.find(InputScheme, 'anything')
    with pytest.raises(UnknownScheme):
        plugins.find(FilterKind, 'anything')


@pytest.mark.parametrize('kind', [InputScheme, WriterScheme])
def test_every_scheme_of_an_official_plugin_names_its_distribution(kind: type[InputScheme | WriterScheme]) -> None:
    official = {each.name: owner.distribution for owner, each in build_plugin_manager().declared(kind)
                if owner.distribution.startswith('occystrap-') and owner.distribution != 'occystrap-core'}
    assert official == OFFICIAL[kind] and official
    for name, distribution in official.items():
        words = f'provides {name}:// as (source|destination): install the wheel of {distribution}$'
        with pytest.raises(UnknownScheme, match=words):
            build(plugin('a', register_writers=writers('directory'))).find(kind, name)
    only_destination = build(plugin('a', register_inputs=lambda: [InputScheme('dir', 'x:Y')]))
    with pytest.raises(UnknownScheme) as refused:
        only_destination.find(InputScheme, 'oci')
    assert 'install the wheel' not in str(refused.value)


def receipt(scheme: str = 'x') -> Receipt:
    """Return a receipt that expects one thing."""
    image_id = sample_image().config.digest
    return Receipt(scheme, '/p', {}, 'a:b', 's', image_id, (), (Expectation('config', 'c', image_id, 1),), form='tar')


def verdict(*answers: Callable[..., object], **changes: Any) -> Verdict:
    """Return the verdict when verifiers answer so; the first one's plugin has the scheme x."""
    plugins = build(*(plugin(f'v{number}', verify_output=answer, **({} if number else {
        'register_writers': writers('x')})) for number, answer in enumerate(answers)))
    return verify_receipt(plugins, receipt(**changes), VerifyLevel.FAST, Settings())


def well(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    return results


def silent(receipt: Receipt) -> CheckResults:
    return CheckResults()


def changed(receipt: Receipt) -> CheckResults:
    results = CheckResults()
    results.found(receipt.expectations[0], size=2, digest=Digest.of(b'other'), evidence=READ)
    return results


class Confident(CheckResults):
    """Claims what no verifier can say."""

    outcome = Outcome.VERIFIED


def not_mine(receipt: Receipt) -> None:
    return None


def damaged(receipt: Receipt) -> CheckResults:
    results = CheckResults()
    results.error('layer 1', 'is gone')
    return results


def unreachable(settings: Settings) -> CheckResults:
    raise ServiceUnavailable('nobody answers')


def crashing() -> CheckResults:
    raise ZeroDivisionError('oops')


@pytest.mark.parametrize(('answers', 'outcome', 'words'), [
    ([well], Outcome.VERIFIED, ''),
    ([well, not_mine], Outcome.VERIFIED, ''),
    ([], Outcome.UNVERIFIED, 'no installed plugin verifies x://'),
    ([not_mine, not_mine], Outcome.UNVERIFIED, 'no installed plugin verifies x://'),
    ([well], Outcome.VERIFIED, ''),
    ([well, silent], Outcome.VERIFIED, ''),
    ([silent], Outcome.UNVERIFIED, 'reported nothing'),
    ([not_mine, silent], Outcome.UNVERIFIED, 'no installed plugin verifies x://; .* reported nothing'),
    ([not_mine, well], Outcome.UNVERIFIED, 'its observations are ignored: x:// is not its scheme'),
    ([silent, well], Outcome.UNVERIFIED, 'are ignored'),
    ([well, changed], Outcome.VERIFIED, 'are ignored'),
    ([changed], Outcome.FAILED, 'config c: size in bytes is 2, expected 1'),
    ([lambda: Confident()], Outcome.FAILED, 'instead of CheckResults or None'),
    ([well, damaged], Outcome.FAILED, 'layer 1: is gone'),
    ([damaged, well], Outcome.FAILED, 'layer 1: is gone'),
    ([unreachable], Outcome.UNVERIFIED, 'nobody answers'),
    ([well, unreachable], Outcome.UNVERIFIED, 'nobody answers'),
    ([crashing, well], Outcome.FAILED, 'dist-v0.*ZeroDivisionError: oops'),
    ([crashing, damaged], Outcome.FAILED, 'layer 1: is gone'),
])
def test_every_verifier_is_heard(answers: list[Callable[..., object]], outcome: Outcome, words: str) -> None:
    results = verdict(*answers)
    assert results.outcome is outcome
    assert re.search(words, '\n'.join(str(each) for each in results.findings))


def test_a_receipt_that_expects_nothing_proves_nothing() -> None:
    plugins = build(plugin('v', verify_output=well, register_writers=writers('x')))
    empty = Receipt('x', '/p', {}, 'a:b', 's', sample_image().config.digest, ())
    assert verify_receipt(plugins, empty, VerifyLevel.FAST, Settings()).outcome is Outcome.UNVERIFIED


def hooks() -> dict[str, list[str]]:
    """Return the hooks with their parameters."""
    functions = inspect.getmembers(hookspecs, lambda each: hasattr(each, f'{hookspecs.PROJECT}_spec'))
    return {name: list(inspect.signature(function).parameters) for name, function in functions}


def test_every_hook_is_documented_with_its_parameters() -> None:
    page = (ROOT / 'docs/plugins.md').read_text()
    assert len(hooks()) == 6
    for name, parameters in hooks().items():
        assert f'### `{name}({", ".join(parameters)})`' in page


def test_every_hook_is_used_by_a_test() -> None:
    tests = ''.join(path.read_text() for path in (ROOT / 'tests').rglob('test_*.py'))
    for name in hooks():
        assert f'{name}=' in tests or f'def {name}(' in tests


def test_the_public_api_is_sorted_and_can_be_imported() -> None:
    assert occystrap_core.__all__ == sorted(occystrap_core.__all__)
    for name in occystrap_core.__all__:
        assert getattr(occystrap_core, name) is not None
    with pytest.raises(AttributeError, match='no attribute'):
        getattr(occystrap_core, 'Nothing')


def test_one_version_and_what_plugins_require_of_it() -> None:
    version = occystrap_core.__version__
    expected = f'~={".".join(version.split(".")[:2])}.0'
    for path in [ROOT / 'pyproject.toml', *ROOT.glob('plugins/*/pyproject.toml')]:
        text = path.read_text()
        assert "dynamic = ['version']" in text and 'occystrap_core/version.py' in text
        assert set(re.findall(r"'occystrap-\w+(~=[\d.]+)'", text)) == {expected}
