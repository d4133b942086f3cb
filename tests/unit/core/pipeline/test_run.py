"""A run from URIs to its report: one image or several, verified or not."""
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import (
    Cancelled, CheckResults, Image, ImageNotFound, InvalidImage, Many, OccystrapError, Receipt, ServiceUnavailable,
    Settings, UsageError, VerifyLevel,
)
from occystrap_core.errors import PluginError, TooManyRequests, UnknownOption, UnknownScheme
from occystrap_core.oci import Digest, ImageConfig, Platform
from occystrap_core.pipeline.lane_threads import REFUSALS
from occystrap_core.pipeline.run import Run
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import RequestStats
from occystrap_core.tar import StoredLayer
from occystrap_core.terminal_text import size_text
from occystrap_core.testing.sample import sample_config, sample_image
from occystrap_core.verification.results import Outcome
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import HOME, IMAGES, SHELVES, memory_plugins, offer, verify_output


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


def process(source: str, destination: str = 'memory://shelf', *filters: str, plugins: Plugins | None = None,
            level: VerifyLevel = VerifyLevel.FAST, settings: Settings | None = None,
            receipts: ReceiptFile | None = None) -> RunReport:
    run = Run(plugins or memory_plugins(), settings or Settings(), level, Progress(), receipts)
    return run.process(source, destination, filters)


def broken(name: str) -> Image:
    """Return an image whose last layer, its own, is not what it should be."""
    image = sample_image(name, variant=name)
    layer = image.layers[2]
    assert isinstance(layer, StoredLayer)
    layer._opener = lambda: Source(b'something else')
    return image


@pytest.mark.parametrize(('level', 'outcome', 'ending'), [
    (VerifyLevel.FAST, Outcome.VERIFIED, '1/1 verified'), (VerifyLevel.FULL, Outcome.VERIFIED, '1/1 verified'),
    (VerifyLevel.NONE, None, 's')])
def test_one_image(level: VerifyLevel, outcome: Outcome | None, ending: str) -> None:
    report = process(offer('one'), level=level)
    assert report.succeeded and [image.outcome for image in report.images] == [outcome]
    assert report.summary().startswith('Summary: 1/1 image, 3 layers, ') and report.summary().endswith(ending)
    assert ('verified' in report.summary()) is (level is not VerifyLevel.NONE)


def test_the_only_image_s_failure_is_raised() -> None:
    with pytest.raises(InvalidImage):
        process(offer('one', image=broken))
    assert SHELVES['shelf'].aborts == 1


def test_one_of_several_failing_does_not_stop_the_others() -> None:
    offer('bad', image=broken)
    offer('worse', image=lambda name: {}[name])  # type: ignore[index]
    offer('first', 'last')
    report = process('memory://first,bad,worse,last')
    assert [bool(image.failure) for image in report.images] == [False, True, True, False]
    assert [image.outcome for image in report.images] == [Outcome.VERIFIED, None, None, Outcome.VERIFIED]
    assert 'layer sha256' in report.images[1].failure and 'KeyError' in report.images[2].failure
    assert not report.succeeded
    assert report.summary().startswith('Summary: 2/4 images, 6 layers, ')
    assert report.summary().endswith('2/4 verified, 2 FAILED')
    assert [str(image.reference) for image in SHELVES['shelf'].images] == ['first', 'last']


def test_an_image_that_a_service_refuses_for_now_is_tried_again_behind_all_others() -> None:
    opened = list[str]()

    def refused(name: str) -> Image:
        opened.append(name)
        if name == 'never' or opened.count(name) < REFUSALS:
            raise TooManyRequests(f'{name}: too many requests (HTTP 429)', 'host')
        return sample_image(name, variant=name)
    offer('never', 'busy', 'one', 'two', image=refused)
    IMAGES.update({name: partial(sample_image, name, variant=name) for name in ('one', 'two')})
    report = process('memory://never,busy,one,two')
    assert [each.failure for each in report.images] == ['never: too many requests (HTTP 429)', '', '', '']
    assert [each.outcome for each in report.images] == [None, *[Outcome.VERIFIED] * 3]
    assert opened == ['never', 'busy'] * REFUSALS
    assert SHELVES['shelf'].images[-1].reference.name.endswith('busy')


def test_cancelling_ends_all_images() -> None:
    settings = Settings()
    settings.cancellation.cancel()
    with pytest.raises(Cancelled, match='interrupted'):
        process(offer('one', 'two'), settings=settings)


@pytest.mark.parametrize(('many', 'words'), [
    (Many(False, reason='it holds one image'), 'cannot take several images: it holds one image'),
    (Many(True, needs='many'), 'takes several images only with \\?many=true')])
def test_several_images_only_where_they_fit(many: Many, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        process(offer('one', 'two'), plugins=memory_plugins(many=many))
    assert not any(shelf.writes for shelf in SHELVES.values())
    assert process(offer('one'), plugins=memory_plugins(many=many)).succeeded
    if many.accepted:
        assert process(offer('one', 'two'), 'memory://shelf?many=true', plugins=memory_plugins(many=many)).succeeded


@pytest.mark.parametrize(('arguments', 'error', 'words'), [
    (['memroy://x', 'memory://y'], UnknownScheme, 'memroy:// as source; did you mean .memory.'),
    (['memory://x', 'memroy://y'], UnknownScheme, 'memroy:// as destination; did you mean .memory.'),
    (['memory://x', 'memory://y?from=z'], UnknownOption, "memory:// has no option 'from'; did you mean 'form'"),
    (['memory://x', 'memory://y', 'witout:name=a'], UnknownScheme, 'witout as filter; did you mean .without.'),
    (['memory://x', 'memory://y', 'without:nam=a'], UnknownOption, "filter without has no option 'nam'; did you mean"),
    (['memory://same', 'memory://same'], UsageError, 'the same place')])
def test_mistakes_are_usage_errors(arguments: list[str], error: type[OccystrapError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        process(*arguments)
    assert caught.value.exit_code == 2 and not any(shelf.writes for shelf in SHELVES.values())


@pytest.mark.parametrize(('factory', 'words'), [
    ('tests.nowhere:X', 'tests.nowhere:X cannot be loaded: ModuleNotFoundError'),
    (f'{HOME}:Nothing', 'Nothing cannot be loaded: AttributeError'),
    ('tests.unit.core.pipeline.memory:SHELVES', 'cannot be used'),
    ('builtins:max', 'cannot be used|made a'), ('occystrap_core:ImageOutput', "can.t instantiate|cannot be used"),
    ('builtins:print', 'returned a NoneType, expected a ImageOutput')])
def test_an_invalid_factory_is_named(factory: str, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        process(offer('one'), plugins=memory_plugins(factory))


def test_filters_run_in_order_and_are_fused() -> None:
    process(offer('one'), 'memory://shelf', 'without:name=etc/', 'without:name=usr/bin/')
    written = SHELVES['shelf'].images[0]
    assert written.config.diff_ids != sample_image().config.diff_ids
    assert written.config.diff_ids[2] == sample_image().config.diff_ids[2]


def test_another_platform_is_not_found() -> None:
    assert process(offer('one'), settings=Settings(platform=Platform.parse('linux/amd64'))).succeeded
    with pytest.raises(ImageNotFound, match='linux/s390x .*available: linux/amd64'):
        process(offer('one'), settings=Settings(platform=Platform.parse('linux/s390x')))


def test_a_config_without_a_variant_fits_any() -> None:
    def of_arm(name: str) -> Image:
        image = sample_image(name, stored=False)
        return Image(image.reference, ImageConfig.parse(sample_config(architecture='arm')), image.layers)
    assert process(offer('one', image=of_arm), settings=Settings(platform=Platform.parse('linux/arm/v6'))).succeeded


# Verification

def damaging(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
    """Lose the first layer before anybody looks."""
    SHELVES[receipt.path].blobs.pop(receipt.of_kind('layer')[0].locator, None)
    return verify_output(receipt, level, settings)


def unreachable(receipt: Receipt) -> CheckResults:
    raise ServiceUnavailable('nobody answers at the shelf')


def test_damage_fails_the_run_and_is_named() -> None:
    report = process(offer('one'), plugins=memory_plugins(verifier=damaging))
    assert not report.succeeded and report.images[0].outcome is Outcome.FAILED
    assert [each.message for each in report.images[0].findings] == ['is gone']
    assert report.images[0].findings[0].item.startswith('layer sha256:')
    assert report.summary().endswith('0/1 verified, 1 FAILED')


@pytest.mark.parametrize(('verifier', 'words'), [
    (None, 'no installed plugin verifies memory://'), (unreachable, 'nobody answers'),
    (lambda: None, 'no installed plugin verifies memory://')])
def test_an_unverified_image_is_no_success(verifier: Any, words: str) -> None:
    report = process(offer('one'), plugins=memory_plugins(verifier=verifier))
    assert not report.succeeded and report.images[0].outcome is Outcome.UNVERIFIED
    assert words in str(report.images[0].findings[0])
    assert report.summary().endswith('0/1 verified, 1 UNVERIFIED')


@pytest.mark.parametrize('answer', [True, 'fine', [], {}])
def test_an_answer_of_the_wrong_kind_is_no_proof(answer: object) -> None:
    report = process(offer('one'), plugins=memory_plugins(verifier=lambda: answer))
    assert report.images[0].outcome is Outcome.FAILED
    assert 'occystrap-memory' in report.images[0].findings[0].item
    assert 'instead of CheckResults or None' in report.images[0].findings[0].message


def test_an_image_is_verified_while_the_next_is_copied() -> None:
    second_is_open = threading.Event()

    def waiting(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        assert second_is_open.wait(5), 'verification held up the next image'
        return verify_output(receipt, level, settings)

    def announcing(name: str) -> Image:
        second_is_open.set()
        return sample_image(name)
    offer('one')
    offer('two', image=announcing)
    assert process('memory://one,two', plugins=memory_plugins(verifier=waiting)).summary().endswith('2/2 verified')


# Receipts

def test_receipts_are_there_as_images_finish(tmp_path: Path) -> None:
    path = tmp_path / 'receipts'
    receipts = ReceiptFile(str(path))
    offer('bad', image=broken)
    offer('one', 'two')
    report = process('memory://one,bad,two', receipts=receipts)
    assert len(path.read_text().splitlines()) == 2
    receipts.close()
    receipts.close()
    assert [path] == list(tmp_path.iterdir())
    written = [each.with_verdict(None) for each in read_receipts(str(path))]
    assert sorted(written, key=str) == sorted((each.receipt for each in report.images if each.receipt), key=str)


def test_no_receipt_no_file(tmp_path: Path) -> None:
    receipts = ReceiptFile(str(tmp_path / 'receipts'))
    with pytest.raises(InvalidImage):
        process(offer('bad', image=broken), receipts=receipts)
    receipts.close()
    assert not list(tmp_path.iterdir())


def test_a_receipt_spread_over_lines_is_read(tmp_path: Path) -> None:
    import json
    receipt = process(offer('one')).images[0].receipt
    assert receipt
    (tmp_path / 'r').write_text(json.dumps(json.loads(receipt.to_json()), indent=2))
    assert read_receipts(str(tmp_path / 'r')) == [receipt]


# Reports

def report_of(*images: ImageReport, level: VerifyLevel = VerifyLevel.FAST, retries: int = 0, rate_limits: int = 0,
              ) -> RunReport:
    return RunReport(level, RequestStats(0, retries, rate_limits), list(images), 64.14)


def image(outcome: Outcome | None = Outcome.VERIFIED, failure: str = '') -> ImageReport:
    return ImageReport('a:b', 'memory://x', 3, 400 << 20, None, outcome, (), failure)


@pytest.mark.parametrize(('report', 'summary'), [
    (report_of(*[image()] * 47, retries=3, rate_limits=1),
     'Summary: 47/47 images, 141 layers, 18.4 GiB, 64.1s, 3 retries, 1 rate limit, 47/47 verified'),
    (report_of(image(), image(None, 'oops'), image(Outcome.FAILED), retries=1, rate_limits=2),
     'Summary: 2/3 images, 6 layers, 800.0 MiB, 64.1s, 1 retry, 2 rate limits, 1/3 verified, 2 FAILED'),
    (report_of(image(), image(Outcome.UNVERIFIED)),
     'Summary: 2/2 images, 6 layers, 800.0 MiB, 64.1s, 1/2 verified, 1 UNVERIFIED'),
    (report_of(image(None), level=VerifyLevel.NONE), 'Summary: 1/1 image, 3 layers, 400.0 MiB, 64.1s'),
    (report_of(image(None), image(None, 'oops'), level=VerifyLevel.NONE),
     'Summary: 1/2 images, 3 layers, 400.0 MiB, 64.1s, 1 FAILED'),
])
def test_summary(report: RunReport, summary: str) -> None:
    assert report.summary() == summary and report.to_json()['summary'] == summary


def test_no_image_is_no_success() -> None:
    assert not report_of().succeeded


def test_the_json_has_all_fields_of_an_image() -> None:
    report = process(offer('one')).to_json()
    assert report['images'][0].pop('seconds') >= 0 and report['images'][0].pop('done_before') is False
    assert {key: report[key] for key in ('level', 'succeeded', 'retries', 'requests', 'rate_limits')} == {
        'level': 'fast', 'succeeded': True, 'retries': 0, 'requests': 0, 'rate_limits': 0}
    sample = sample_image()
    assert sample.manifest and report['images'] == [{
        'reference': 'one', 'destination': 'memory://shelf', 'status': 'copied', 'layers': 3,
        'bytes': sum(layer.size for layer in sample.manifest.layers),
        'bytes_moved': sum(layer.size for layer in sample.manifest.layers), 'source_digest': None,
        'image_id': sample.config.digest,
        'manifest_digest': sample.manifest.digest, 'evidence': 'streamed', 'outcome': 'verified', 'failure': None,
        'notes': [], 'findings': []}]


@pytest.mark.parametrize(('count', 'text'), [
    (0, '0 B'), (1023, '1023 B'), (1024, '1.0 KiB'), (1536 << 10, '1.5 MiB'), (5 << 40, '5.0 TiB'),
    (5000 << 40, '5000.0 TiB')])
def test_sizes_for_people(count: int, text: str) -> None:
    assert size_text(count) == text


def test_facts_about_the_run_in_a_receipt() -> None:
    receipt = process(offer('one'), 'memory://shelf?form=tar').images[0].receipt
    assert receipt and (receipt.scheme, receipt.path, receipt.options) == ('memory', 'shelf', {'form': 'tar'})
    assert receipt.source == 'memory://one' and receipt.reference == 'one'
    assert [each.digest for each in receipt.of_kind('layer')] == list(receipt.diff_ids)
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert isinstance(receipt.image_id, Digest)
