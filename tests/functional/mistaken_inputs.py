"""A directory with what users have: good and bad archives, layouts, lists, plans, receipts."""
import tarfile
from pathlib import Path

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here

_FILES = {
    'empty': '', 'text.txt': 'this is no archive\n' * 100,
    'bad.txt': 'tar://sample.tar\ntra://sample.tar\nregistry://\n',
    'of-lists.txt': 'list://good.txt\n',
    'good.txt': 'tar://sample.tar\ntar://other.tar\n',
    'syntax.toml': '[[images]\nsource = "x"\n',
    'words.toml': '[[images]]\nsuorce = "tar://sample.tar"\n',
    'wrong.toml': '[[images]]\nsource = "tar://sample.tar"\ndestination = "nosuch://x"\n[[images]]\n'
                  'source = "tar://sample.tar"\ndestination = "dir://x"\nfilters = ["nosuch"]\n',
    'no-destination.toml': '[[images]]\nsource = "tar://sample.tar"\n',
    'plan.yaml': 'images:\n- source: tar://sample.tar\n  destination: nothing://out\n',
    'json.receipt': '{"receipt": 1}',
    'full-of-files/letter.txt': 'mine\n', 'bad-config/config.json': '{not json', 'empty-directory/.keep': '',
}


def write_inputs(place: Path) -> None:
    """Write them into the current directory `place`."""
    for name, text in _FILES.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    (place / 'empty-directory/.keep').unlink()
    for name in ('sample', 'other'):
        layers = sample_layers('' if name == 'sample' else name)
        write_docker_archive(place / f'{name}.tar', sample_config(layers), layers, f'{name}:v1')
    (place / 'cut.tar').write_bytes((place / 'sample.tar').read_bytes()[:20000])
    (place / 'broken.tar.gz').write_bytes(b'\x1f\x8b\x08\x00broken')
    with tarfile.open(place / 'plain.tar', 'w') as tar:
        tar.add(place / 'text.txt', 'text.txt')
    for destination in ('layout://layout:one', 'dir://mirror', 'tar://two.tar?format=oci'):
        source = 'list://good.txt' if 'two' in destination else 'tar://sample.tar'
        run_here('process', source, destination, '--receipt', 'receipt').assert_success()
    run_here('process', 'tar://other.tar', 'layout://layout:two').assert_success()
    text = (place / 'receipt').read_text()
    (place / 'cut.receipt').write_text(text[:20])
    (place / 'changed.receipt').write_text(text.replace('"size": ', '"size": 1'))
