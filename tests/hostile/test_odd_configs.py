"""Configs that programs in Go take: larger than a manifest, with numbers and depths in fields that nobody reads."""
import json
from pathlib import Path

import pytest

from occystrap_core import InvalidImage
from occystrap_core.oci import CONFIG_CAP, ImageConfig
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused

ODD = {'large': '"config": {"Labels": {"notes": "' + 'y' * 4_300_000 + '"}}', 'deep': '"x": ' + '[' * 2000 + ']' * 2000,
       'deepest': '"x": ' + '{"[": ' * 9000 + '1' + '}' * 9000, 'number': '"x": {"y": [1e999, -1e999]}',
       'digits': '"x": ' + '9' * 5000, 'brackets in text': '"x": "' + '[\\"' * 200 + '", "y": ' + '[' * 200 + ']' * 200}


def with_field(field: str) -> bytes:
    """Return the config of the sample image with another field."""
    document = {name: value for name, value in json.loads(sample_config()).items() if name != 'config'}
    return (json.dumps(document)[:-1] + f', {field}}}').encode()


@pytest.mark.parametrize('odd', ODD)
def test_it_is_copied_byte_for_byte(odd: str, tmp_path: Path) -> None:
    config = with_field(ODD[odd])
    source = f'tar://{write_docker_archive(tmp_path / "odd.tar", config, sample_layers(), "odd:v1")}'
    for goes in ('layout', 'dir', 'oci', 'tar'):
        run_here('process', source, f'{goes}://{tmp_path}/{goes}', '--verify=full').assert_code(0)
    assert f'{ImageConfig.parse(config).digest}' in run_here('info', f'layout://{tmp_path}/layout').out
    for place in ('layout', 'dir'):
        run_here('process', f'{place}://{tmp_path}/{place}', f'tar://{tmp_path}/{place}.tar').assert_code(0)
        assert (tmp_path / f'{place}.tar').read_bytes().count(config) == 1
    run_here('check', source, '--fast').assert_code(0)


@pytest.mark.parametrize('odd', ['deep', 'deepest', 'number'])
def test_configs_that_would_lose_data_are_not_rewritten(odd: str, tmp_path: Path) -> None:
    archive = write_docker_archive(tmp_path / 'odd.tar', with_field(ODD[odd]), sample_layers(), 'odd:v1')
    result = run_here('process', f'tar://{archive}', f'layout://{tmp_path}/L', '-f', 'exclude:pattern=/etc')
    is_refused(result, 'the config is not valid JSON')


@pytest.mark.parametrize('field', [
    '"x": ' + '[' * 10_001 + ']' * 10_001, '"x": NaN', '"x": [', '"x": "', '"x": ' + '[' * 200 + '"' + ']' * 200,
    '"x": ' + '[' * 200 + ']' * 199, '"x": ' + '[' * 200 + '}' * 200, '"x": ' + '[' * 200 + '}' * 60 + ']' * 140,
    '"x": 1e999, "ROOTFS": {}'])
def test_documents_refused_by_go_are_refused(field: str) -> None:
    with pytest.raises(InvalidImage, match='the config is'):
        ImageConfig.parse(with_field(field))


@pytest.mark.parametrize('filled', ['y' * CONFIG_CAP, '[' + '[],' * 1_500_000 + '[]]', '[' + '{},' * 1_500_000 + '[]]'])
def test_there_are_limits(filled: str) -> None:
    with pytest.raises(InvalidImage, match='more than'):
        ImageConfig.parse(with_field(f'"x": {filled if filled[0] == "[" else json.dumps(filled)}'))
