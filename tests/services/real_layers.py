"""What the real image is made of: the trees of its big layers, and the script of its odd files."""

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.services.debian_root import debian_root
from tests.services.requirements import ServiceUnavailable

SPLIT_LINES = 400


@dataclass(frozen=True)
class Contents:
    """What a real image has in it: its big layer of packages for Python, and its layer of small files.

    Where npm is missing, `copies` of the standard library stand in for the packages for Node.
    """

    name: str
    version: str
    wheels: tuple[str, ...]
    node_packages: tuple[str, ...]
    copies: int
    keeps_all_of_debian: bool


LARGE = Contents('real-image', '1', ('numpy==2.2.6', 'scipy==1.15.3', 'pandas==2.2.3'),
                 ('typescript@5.8.3', 'vite@6.3.5', 'webpack@5.99.9', 'date-fns@4.1.0', 'lodash@4.17.21'), 4, True)
"""600 MB: what benchmarks measure with."""
SMALL = Contents('small-image', '1', ('sqlalchemy==2.0.41', ), ('rxjs@7.8.2', 'lodash@4.17.21'), 1, False)
"""A quarter of it, of the same kinds of files, its largest layer near the cap of memory: what tests move to and fro."""

DOCKERFILE = r'''
FROM scratch
ADD rootfs.tar /
COPY site-packages /usr/lib/python3/dist-packages
COPY node_modules /opt/app/node_modules
COPY odd-files.sh greet /usr/local/bin/
RUN sh /usr/local/bin/odd-files.sh
RUN rm -rf /usr/share/doc /usr/lib/python3/dist-packages/pandas/tests /usr/local/bin/odd-files.sh \
    /usr/lib/python3/dist-packages/sqlalchemy/testing \
 && rm /opt/odd/deleted /opt/odd/hardlink-b && find /opt/app/node_modules -name '*.map' -delete
RUN rm -rf /opt/odd/opaque && mkdir /opt/odd/opaque && echo new > /opt/odd/opaque/new \
 && rm -rf /opt/odd/becomes-file && echo file > /opt/odd/becomes-file \
 && rm /opt/odd/becomes-directory && mkdir /opt/odd/becomes-directory && echo in > /opt/odd/becomes-directory/in \
 && chmod 0700 /opt/odd/private && chown 1234:5678 /opt/odd/owned
ENV GREETING=hello LANG=C.UTF-8
LABEL org.example.purpose="real image" org.example.unicode="größe ✓" org.example.empty=""
WORKDIR /opt/app
EXPOSE 8080
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/greet"]
CMD ["world"]
'''

GREET = '#!/bin/sh\necho "real image says $GREETING $1"\n'
GREETING_LINE = 'real image says hello world'

ODD_FILES = r'''
set -e
chmod 0755 /usr/local/bin/greet
mkdir -p /opt/odd/opaque/sub /opt/odd/becomes-file/sub /opt/odd/private /opt/odd/empty
cd /opt/odd
echo shared > hardlink-a; ln hardlink-a hardlink-b; ln hardlink-a empty/hardlink-c
ln -s hardlink-a symlink; ln -s /etc/hostname absolute; ln -s nowhere dangling; ln -s ../../.. up; ln -s loop loop
echo deleted > deleted; echo old > opaque/old; echo old > opaque/sub/old; echo old > becomes-file/sub/old
echo old > becomes-directory; echo owned > owned; : > empty-file; mkfifo fifo
cp /bin/true setuid; chmod 4755 setuid; cp /bin/true setgid; chmod 2755 setgid; mkdir sticky; chmod 1777 sticky
cp /bin/ping ping 2>/dev/null || cp /bin/true ping; setcap cap_net_raw+ep ping
echo unicode > 'größe ✓ 漢字'; echo space > ' leading and trailing '; echo quote > "it's \"quoted\""
printf 'newline' > "$(printf 'new\nline')"; printf 'bytes' > "$(printf 'latin1-\344')"; echo back > 'back\slash'
name=$(printf 'n%.0s' $(seq 1 255)); echo long > "$name"
deep=$(printf 'directory-of-a-deep-path/%.0s' $(seq 1 30)); mkdir -p "$deep"; echo deep > "$deep/file"
ln -s "$deep/file" deep-symlink; ln "$deep/file" "$deep/deep-hardlink"
truncate -s 1M sparse; touch -d '1969-12-31 23:59:58 UTC' before-1970
touch -d '2040-01-01 12:00:00.123456789 UTC' later
'''


def write_context(directory: Path, contents: Contents) -> None:
    """Fills the directory with all that `docker build` needs for the real image."""
    _write_rootfs(directory, contents)
    _write_site_packages(directory / 'site-packages', contents)
    _write_node_modules(directory / 'node_modules', contents)
    (directory / 'odd-files.sh').write_text(ODD_FILES)
    (directory / 'greet').write_text(GREET)
    (directory / 'Dockerfile').write_text(DOCKERFILE)


def _write_rootfs(context: Path, contents: Contents) -> None:
    root = context / 'rootfs'
    debian_root('bookworm', root, ['libcap2-bin', 'iputils-ping'])
    if not contents.keeps_all_of_debian:
        for path in (*root.glob('var/lib/apt/lists/*_*'), *root.glob('var/cache/apt/**/*.*')):
            path.unlink()
        for path in root.glob('usr/share/locale/*/LC_MESSAGES'):
            shutil.rmtree(path)
    subprocess.run(['tar', '-C', root, '--xattrs', '--numeric-owner', '-cf', context / 'rootfs.tar', '.'], check=True)
    shutil.rmtree(root)


def _write_site_packages(directory: Path, contents: Contents) -> None:
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--root-user-action=ignore']
    target = ['--target', str(directory), '--python-version', '3.11', '--only-binary=:all:']
    done = subprocess.run([*pip, *target, *contents.wheels], capture_output=True, text=True)
    if done.returncode:
        raise ServiceUnavailable(f'pip could not fetch the real image\'s packages: {done.stderr[-500:]}')


def _write_node_modules(directory: Path, contents: Contents) -> None:
    work = directory.parent / 'npm'
    work.mkdir()
    (work / 'package.json').write_text('{"private": true}')
    npm = shutil.which('npm')
    install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent', *contents.node_packages]
    done = subprocess.run([npm, *install], cwd=work, capture_output=True, text=True) if npm else None
    if done and done.returncode == 0:
        (work / 'node_modules').rename(directory)
    else:
        reason = done.stderr.strip()[-300:] if done else 'npm is not installed'
        print(f'no node_modules ({reason}): the layer of small files is made of the standard library', file=sys.stderr)
        _write_split_library(directory, contents.copies)
    shutil.rmtree(work)


def _write_split_library(directory: Path, copies: int) -> None:
    """About as many and as big small files as node_modules has: the standard library cut into pieces, repeated."""
    library = Path(sysconfig.get_path('stdlib'))
    sources = [path for path in library.rglob('*.py') if 'site-packages' not in path.parts]
    for copy in range(copies):
        for source in sources:
            _split(source, directory / f'copy-{copy}' / source.relative_to(library))


def _split(source: Path, target: Path) -> None:
    lines = source.read_bytes().splitlines(keepends=True)
    target.mkdir(parents=True)
    for start in range(0, len(lines), SPLIT_LINES):
        (target / f'{start}.py').write_bytes(b''.join(lines[start:start + SPLIT_LINES]))
