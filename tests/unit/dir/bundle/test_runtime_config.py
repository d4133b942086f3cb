"""config.json of a bundle: what runtimes find of an image, and what images cannot bring about by it."""
import json
import os
from typing import Any

import pytest

from occystrap_core import InvalidImage
from occystrap_core.oci import ImageConfig
from occystrap_core.testing.sample import sample_config
from occystrap_dir.bundle.runtime_config import runtime_config, unsafe_labels
from occystrap_dir.bundle.users import Accounts

ACCOUNTS = Accounts.parse(b'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n', b'extra:x:600:app\n')
PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def image(settings: Any = None, **more: Any) -> ImageConfig:
    """A config with these settings under `config`, and more fields beside it."""
    return ImageConfig.parse(json.dumps(
        {'os': 'linux', 'architecture': 'amd64', 'rootfs': {'diff_ids': []}, 'config': settings, **more}).encode())


def converted(settings: Any = None, rootless: bool = False, **more: Any) -> Any:
    """The parsed config.json."""
    return json.loads(runtime_config(image(settings, **more), ACCOUNTS, rootless))


def process(settings: Any = None, rootless: bool = False) -> Any:
    """What is to run."""
    return converted(settings, rootless)['process']


def mounts(document: Any) -> dict[str, Any]:
    """The mounts by where they are."""
    return {each['destination']: each for each in document['mounts']}


def test_process_settings_are_taken_from_the_image() -> None:
    made = process({'Entrypoint': ['/entry', '-x'], 'Cmd': ['a b', ''], 'Env': ['A=1', 'B=x=y', 'E='],
                    'WorkingDir': '/srv', 'User': 'app'})
    assert made['args'] == ['/entry', '-x', 'a b', ''] and made['cwd'] == '/srv'
    assert made['env'] == [PATH, 'A=1', 'B=x=y', 'E=', 'HOME=/home/app']
    assert made['user'] == {'uid': 1000, 'gid': 1001, 'additionalGids': [1001, 600]}
    assert made['terminal'] is False and made['noNewPrivileges'] is False


@pytest.mark.parametrize('settings, arguments', [
    ({'Cmd': ['/c']}, ['/c']), ({'Entrypoint': ['/e'], 'Cmd': None}, ['/e']), ({'Entrypoint': [], 'Cmd': []}, ['sh']),
    (None, ['sh'])])
def test_an_image_that_says_nothing_of_what_to_run_runs_a_shell(settings: Any, arguments: list[str]) -> None:
    assert process(settings)['args'] == arguments


def test_path_and_home_of_the_image_count_more_than_the_defaults() -> None:
    assert process({'Env': ['HOME=/h', 'PATH=/p'], 'User': 'app'})['env'] == ['HOME=/h', 'PATH=/p']
    assert process()['env'] == [PATH, 'HOME=/root'] and process()['cwd'] == '/'


def test_only_root_has_effective_capabilities_and_none_beyond_those_of_docker() -> None:
    root, other = (process({'User': user})['capabilities'] for user in ('root', 'app'))
    assert set(root) == {'bounding', 'effective', 'permitted'} and set(other) == {'bounding'}
    assert len(root['bounding']) == 14 and root['bounding'] == root['effective'] == root['permitted']
    assert root['bounding'] == other['bounding'] and 'CAP_SYS_ADMIN' not in root['bounding']


def test_the_container_is_apart_from_the_host() -> None:
    document = converted()
    assert document['root'] == {'path': 'rootfs', 'readonly': False}
    assert {each['type'] for each in document['linux']['namespaces']} == {
        'pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'}
    assert set(mounts(document)) == {
        '/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/sys/fs/cgroup'}
    assert 'ro' in mounts(document)['/sys']['options'] and 'ro' in mounts(document)['/sys/fs/cgroup']['options']
    assert document['linux']['resources'] == {'devices': [{'allow': False, 'access': 'rwm'}]}
    assert '/proc/kcore' in document['linux']['maskedPaths'] and '/proc/sys' in document['linux']['readonlyPaths']


def test_rootless_is_as_runc_spec_rootless_has_it() -> None:
    document = converted({'User': 'app'}, rootless=True)
    assert {each['type'] for each in document['linux']['namespaces']} == {
        'pid', 'ipc', 'uts', 'mount', 'cgroup', 'user'}
    assert document['linux']['uidMappings'] == [{'containerID': 0, 'hostID': os.geteuid(), 'size': 1}]
    assert document['linux']['gidMappings'] == [{'containerID': 0, 'hostID': os.getegid(), 'size': 1}]
    assert mounts(document)['/sys'] == {
        'destination': '/sys', 'type': 'none', 'source': '/sys',
        'options': ['rbind', 'nosuid', 'noexec', 'nodev', 'ro']}
    assert '/sys/fs/cgroup' not in mounts(document) and 'resources' not in document['linux']
    assert not any(option.startswith('gid=') for each in document['mounts'] for option in each['options'])


def test_rootless_runs_as_the_only_user_whom_the_namespace_has() -> None:
    made = process({'User': 'app'}, rootless=True)
    assert made['user'] == {'uid': 0, 'gid': 0} and 'HOME=/home/app' in made['env']
    with pytest.raises(InvalidImage, match='nobody'):
        process({'User': 'nobody'}, rootless=True)


def test_labels_become_annotations_beside_those_of_conversion_md() -> None:
    document = converted(
        {'Labels': {'b': '2', 'a': 'größe', 'empty': ''}, 'StopSignal': 'SIGQUIT',
         'ExposedPorts': {'8080/tcp': {}, '53/udp': {}}},
        variant='v8', author='me', created='2020-01-01T00:00:00Z', **{'os.version': '1', 'os.features': ['x', 'y']})
    prefix = 'org.opencontainers.image.'
    assert document['annotations'] == {
        'a': 'größe', 'b': '2', 'empty': '', f'{prefix}architecture': 'amd64', f'{prefix}author': 'me',
        f'{prefix}created': '2020-01-01T00:00:00Z', f'{prefix}exposedPorts': '53/udp,8080/tcp', f'{prefix}os': 'linux',
        f'{prefix}os.features': 'x,y', f'{prefix}os.version': '1', f'{prefix}stopSignal': 'SIGQUIT',
        f'{prefix}variant': 'v8'}


def test_a_label_counts_more_than_what_would_be_said_of_itself() -> None:
    name = 'org.opencontainers.image.author'
    assert converted({'Labels': {name: 'label'}}, author='field')['annotations'][name] == 'label'


def test_labels_by_which_runtimes_act_on_the_host_are_left_out_and_named() -> None:
    harmless = {'bundled': 'x', 'my.run.oci.x': 'x', 'org.systemd': 'x'}
    unsafe = ['bundle', 'module.wasm.image/variant', 'org.criu.config', 'org.systemd.property.DeviceAllow',
              'run.oci.handler', 'run.oci.hooks.stdout']
    config = image({'Labels': {**harmless, **{name: 'x' for name in unsafe}}})
    annotations = json.loads(runtime_config(config, ACCOUNTS))['annotations']
    assert unsafe_labels(config) == unsafe and harmless.keys() <= annotations.keys()
    assert not annotations.keys() & set(unsafe)


def test_volumes_stay_where_their_content_is() -> None:
    assert mounts(converted({'Volumes': {'/var/lib/data': {}}})) == mounts(converted())


def test_the_same_image_gives_the_same_bytes() -> None:
    one, two = (runtime_config(ImageConfig.parse(raw), ACCOUNTS) for raw in (
        b'{"config":{"Labels":{"a":"1","b":"2"},"ExposedPorts":{"1/tcp":{},"2/tcp":{}}},"rootfs":{"diff_ids":[]}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"ExposedPorts":{"2/tcp":{},"1/tcp":{}},"Labels":{"b":"2","a":"1"}}}'))
    assert one == two and one.endswith(b'}\n')
    assert json.loads(runtime_config(ImageConfig.parse(sample_config()), ACCOUNTS))['process']['args'] == [
        '/usr/bin/hello']


def test_text_that_utf_8_cannot_have_is_written_as_json_had_it() -> None:
    config = ImageConfig.parse(
        b'{"config":{"Cmd":["\\ud800","\\udcff","\\u00e4"],"Labels":{"\\udc80":"x"}},"rootfs":{"diff_ids":[]}}')
    made = runtime_config(config, ACCOUNTS)
    assert json.loads(made.decode())['process']['args'] == ['\ud800', '\udcff', 'ä']
    assert b'"\\ud800"' in made and 'ä'.encode() in made


def test_a_command_that_is_one_text_is_a_list_of_one() -> None:
    config = ImageConfig.parse(b'{"config":{"Entrypoint":"/bin/a b","Cmd":"c"},"rootfs":{"diff_ids":[]}}')
    assert json.loads(runtime_config(config, ACCOUNTS))['process']['args'] == ['/bin/a b', 'c']


@pytest.mark.parametrize('settings, message', [
    ({'User': 'nobody'}, "user 'nobody', but its /etc/passwd does not have"),
    ({'User': 5}, 'User is not a string'),
    ({'Cmd': 5}, 'Cmd is not a list of strings'),
    ({'Entrypoint': [1]}, 'Entrypoint is not a list of strings'),
    ({'Env': {'A': '1'}}, 'Env is not a list of strings'),
    ({'Env': ['A=1', 'secret']}, 'Env is not all NAME=VALUE'),
    ({'Env': ['=1']}, 'Env is not all NAME=VALUE'),
    ({'WorkingDir': 'srv'}, "WorkingDir 'srv' does not begin with /"),
    ({'Labels': {'a': 1}}, 'a is not a string'),
    ({'Labels': []}, 'Labels is not an object'),
    ({'ExposedPorts': ['1']}, 'ExposedPorts is not an object'),
    ([], 'config is not an object')])
def test_images_that_cannot_run_are_refused_by_name(settings: Any, message: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        converted(settings)
    assert message in str(raised.value) and 'secret' not in str(raised.value)


def test_images_of_other_systems_are_refused() -> None:
    with pytest.raises(InvalidImage, match='the image is for windows, but bundles are for linux: write it to dir://'):
        converted(os='windows')
