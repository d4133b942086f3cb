"""config.json of a bundle (runtime-spec config.md), made from an image's config (image-spec conversion.md)."""
import json
import os
from typing import Any

from occystrap_core import InvalidImage
from occystrap_core.oci import ImageConfig
from occystrap_dir.bundle.users import Account, Accounts

_VERSION = '1.0.2'
_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
_CAPABILITIES = [f'CAP_{name}' for name in (
    'AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'NET_RAW',
    'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT')]
"""Those that Docker gives to containers."""
_SAFE = ['nosuid', 'noexec', 'nodev']
_MASKED = ['/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/sched_debug',
           '/proc/scsi', '/proc/timer_list', '/proc/timer_stats', '/sys/devices/virtual/powercap', '/sys/firmware']
_READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
_PREFIX = 'org.opencontainers.image.'
_UNSAFE = ('org.systemd.', 'org.criu.', 'run.oci.', 'module.wasm.image/')
"""Prefixes of annotations that make runc and crun change the host (runtime-spec features.md,
potentiallyUnsafeConfigAnnotations): images must not set them."""


def runtime_config(config: ImageConfig, accounts: Accounts, rootless: bool = False) -> bytes:
    """Return config.json for an image whose root file system has these accounts; the same bytes for the same image.

    With `rootless` the process runs as root of a user namespace that maps only the current user, whatever user the
    image sets. Raises InvalidImage for a user that the image does not have, for settings of a wrong type or that no
    runtime accepts, and for images of other systems than Linux.

    Volumes stay part of the root file system, where their content is, as conversion.md allows: runtimes have no common
    way to copy it into new ones. Resource limits are left to the caller, as with Docker.
    """
    if (system := _text(config.document, 'os') or 'linux') != 'linux':
        raise InvalidImage(f'the image is for {system}, but bundles are for linux: write it to dir:// or layout://')
    settings = _object(config.document, 'config')
    account = accounts.resolve(_text(settings, 'User'))
    if rootless:
        account = Account(home=account.home)
    document = {
        'ociVersion': _VERSION,
        'process': _process(settings, account),
        'root': {'path': 'rootfs', 'readonly': False},
        'hostname': 'occystrap',
        'mounts': _mounts(rootless),
        'annotations': _annotations(config, settings),
        'linux': _linux(rootless),
    }
    # A lone surrogate, which JSON may have and UTF-8 may not, is written as an escape: \ud800.
    return json.dumps(document, indent=4, ensure_ascii=False).encode('utf-8', 'backslashreplace') + b'\n'


def unsafe_labels(config: ImageConfig) -> list[str]:
    """Return the labels that do not become annotations, because runtimes would act on them (image-spec conversion.md).
    """
    return sorted(filter(_is_unsafe, _labels(_object(config.document, 'config'))))


def _process(settings: dict[str, Any], account: Account) -> dict[str, Any]:
    """Return the process; a shell if the image sets no command, as with `runc spec` and umoci."""
    arguments = [*_command(settings, 'Entrypoint'), *_command(settings, 'Cmd')] or ['sh']
    user: dict[str, Any] = {'uid': account.uid, 'gid': account.gid}
    if account.additional_gids:
        user['additionalGids'] = list(account.additional_gids)
    sets = ['bounding', 'effective', 'permitted'] if account.uid == 0 else ['bounding']
    return {
        'terminal': False,
        'user': user,
        'args': arguments,
        'env': _environment(_texts(settings, 'Env'), account),
        'cwd': _directory(_text(settings, 'WorkingDir') or '/'),
        'capabilities': {name: _CAPABILITIES for name in sets},
        'noNewPrivileges': False,
    }


def _environment(given: list[str], account: Account) -> list[str]:
    names = {each.partition('=')[0] for each in given}
    if '' in names or not all('=' in each for each in given):
        raise InvalidImage('the config of the image is malformed: Env is not all NAME=VALUE', 'config-invalid')
    path = [] if 'PATH' in names else [_PATH]
    return [*path, *given, *([] if 'HOME' in names else [f'HOME={account.home}'])]


def _mounts(rootless: bool) -> list[dict[str, Any]]:
    terminals = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', *([] if rootless else ['gid=5'])]
    return [
        _mount('/proc', 'proc', _SAFE),
        _mount('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
        _mount('/dev/pts', 'devpts', terminals),
        _mount('/dev/shm', 'tmpfs', [*_SAFE, 'mode=1777', 'size=65536k'], 'shm'),
        _mount('/dev/mqueue', 'mqueue', _SAFE),
        *([_mount('/sys', 'none', ['rbind', *_SAFE, 'ro'], '/sys')] if rootless else [
            _mount('/sys', 'sysfs', [*_SAFE, 'ro']),
            _mount('/sys/fs/cgroup', 'cgroup', [*_SAFE, 'relatime', 'ro'])]),
    ]


def _mount(destination: str, kind: str, options: list[str], source: str = '') -> dict[str, Any]:
    return {'destination': destination, 'type': kind, 'source': source or kind, 'options': options}


def _linux(rootless: bool) -> dict[str, Any]:
    names = ['pid', 'ipc', 'uts', 'mount', 'cgroup', *(['user'] if rootless else ['network'])]
    linux: dict[str, Any] = {'namespaces': [{'type': name} for name in names]}
    if rootless:
        linux['uidMappings'] = [{'containerID': 0, 'hostID': os.geteuid(), 'size': 1}]
        linux['gidMappings'] = [{'containerID': 0, 'hostID': os.getegid(), 'size': 1}]
    else:
        linux['resources'] = {'devices': [{'allow': False, 'access': 'rwm'}]}
    return {**linux, 'maskedPaths': _MASKED, 'readonlyPaths': _READ_ONLY}


def _annotations(config: ImageConfig, settings: dict[str, Any]) -> dict[str, str]:
    """Return the annotations that conversion.md defines, and the image's labels, which take precedence."""
    document = config.document
    defined = {
        'os': _text(document, 'os'), 'architecture': _text(document, 'architecture'),
        'variant': _text(document, 'variant'), 'os.version': _text(document, 'os.version'),
        'os.features': ','.join(_texts(document, 'os.features')),
        'author': _text(document, 'author'), 'created': _text(document, 'created'),
        'stopSignal': _text(settings, 'StopSignal'),
        'exposedPorts': ','.join(sorted(_object(settings, 'ExposedPorts')))}
    labels = {name: value for name, value in _labels(settings).items() if not _is_unsafe(name)}
    return dict(sorted({**{f'{_PREFIX}{name}': value for name, value in defined.items() if value}, **labels}.items()))


def _is_unsafe(annotation: str) -> bool:
    return annotation == 'bundle' or annotation.startswith(_UNSAFE)


def _labels(settings: dict[str, Any]) -> dict[str, str]:
    labels = _object(settings, 'Labels')
    return {name: _text(labels, name) for name in labels}


def _directory(path: str) -> str:
    if not path.startswith('/'):
        raise InvalidImage(f'the config of the image is malformed: WorkingDir {path!r} does not begin with /',
                           'config-invalid')
    return path


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    if found is not None and not isinstance(found, dict):
        raise InvalidImage(f'the config of the image is malformed: {name} is not an object', 'config-invalid')
    return found or {}


def _text(document: dict[str, Any], name: str) -> str:
    found = document.get(name)
    if found is not None and not isinstance(found, str):
        raise InvalidImage(f'the config of the image is malformed: {name} is not a string', 'config-invalid')
    return found or ''


def _command(settings: dict[str, Any], name: str) -> list[str]:
    """Return a command. Old images have it as one string, which Docker treats as a list of one."""
    found = settings.get(name)
    return [found] if isinstance(found, str) and found else _texts(settings, name)


def _texts(document: dict[str, Any], name: str) -> list[str]:
    found = document.get(name)
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise InvalidImage(f'the config of the image is malformed: {name} is not a list of strings', 'config-invalid')
    return found or []
