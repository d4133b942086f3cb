"""A bulk run between two machines that see each other by their network alone, with TLS between all parts of Dask."""
from pathlib import Path

from tests.conftest import require_service
from tests.functional.scale.bulk import assert_all_there, mirror_at
from tests.services.certificates import Authority
from tests.services.command_line import CommandLine
from tests.services.dask_cluster import dask_cluster
from tests.services.recorded import recorded
from tests.services.registry import plain_registry
from tests.services.second_machine import second_machine
from tests.services.sixty_images import sixty_images

COUNT = 12
_TLS = 'DASK_DISTRIBUTED__COMM__TLS__'


def _tls(directory: Path) -> dict[str, str]:
    """Return the variables by which scheduler, workers and clients have certificates of one authority."""
    authority = Authority(directory)
    pair = authority.sign('dask')
    roles = {f'{_TLS}{role}__{name}': str(path) for role in ('SCHEDULER', 'WORKER', 'CLIENT')
             for name, path in (('CERT', pair.certificate), ('KEY', pair.key))}
    return {**roles, f'{_TLS}CA_FILE': str(authority.certificate),
            'DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION': 'true'}


def test_a_worker_on_another_machine(occystrap: CommandLine, tmp_path: Path) -> None:
    tls = _tls(tmp_path)
    with require_service(second_machine) as machine, \
            require_service(lambda: sixty_images(address=machine.here)) as sixty, \
            require_service(lambda: plain_registry(address=machine.here)) as destination, \
            require_service(lambda: dask_cluster(0, host=machine.here, protocol='tls', **tls)) as cluster, \
            recorded(cluster.port, machine.here) as between:
        cluster.add_worker(host=machine.there, wrapper=machine.wrapper)
        source = sixty.listed(tmp_path, COUNT, '?insecure=true')
        goes = f'{mirror_at(destination.host)}?insecure=true'
        result = occystrap('process', source, goes, '--receipt', 'receipts', '--executor',
                           f'dask:scheduler=tls://{between.host}', env=tls, fresh=True)
        assert result.assert_success().err.splitlines()[-1].endswith(f'{COUNT}/{COUNT} verified')
        assert f'tls://{machine.there}:' in cluster.logs()
        asked = [line for line in destination.log.read_text().splitlines() if '"PUT /v2/' in line and line[0].isdigit()]
        assert asked and all(line.startswith(machine.there) for line in asked)
        assert len(between.seen) > 10_000 and b'registry://' not in between.seen
        assert_all_there(occystrap, tmp_path / 'receipts', COUNT)
        plain = f'dask:scheduler=tcp://{machine.here}:{cluster.port},wait=1'
        without = occystrap('process', source, goes, '--executor', plain, fresh=True).assert_code(1)
    assert len(without.errors) == 1 and 'no Dask scheduler answers' in without.err
