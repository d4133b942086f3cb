"""Which account the user of an image is, by the image's own accounts, as Docker 20.10 has it."""
import pytest

from occystrap_core import InvalidImage
from occystrap_dir.bundle.users import Account, Accounts

PASSWD = b'''root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
app:x:1000:1001::/home/app:/bin/sh
homeless:x:1002:1002:::
short:x:1003:1003
33:x:7:7::/wrong:/bin/sh
www-data:x:9:9::/second:/bin/sh
'''
GROUP = b'''root:x:0:
games:x:60:
www-data:x:33:
extra:x:600:www-data,root
more:x:50:app,www-data
short:x:61
600:x:601:
'''
ACCOUNTS = Accounts.parse(PASSWD, GROUP)


@pytest.mark.parametrize('user, account', [
    ('', Account(0, 0, (0, 600), '/root')),
    ('0', Account(0, 0, (0, 600), '/root')),
    ('root', Account(0, 0, (0, 600), '/root')),
    ('www-data', Account(33, 33, (33, 50, 600), '/var/www')),
    ('33', Account(33, 33, (33, 50, 600), '/var/www')),
    ('www-data:', Account(33, 33, (33, 50, 600), '/var/www')),
    ('app', Account(1000, 1001, (1001, 50), '/home/app')),
    ('1000', Account(1000, 1001, (1001, 50), '/home/app')),
    ('app:games', Account(1000, 60, (60,), '/home/app')),
    ('app:0', Account(1000, 0, (0,), '/home/app')),
    ('1000:4711', Account(1000, 4711, (4711,), '/home/app')),
    ('1000:600', Account(1000, 600, (600,), '/home/app')),
    ('4711', Account(4711, 0, (0,), '/')),
    ('4711:games', Account(4711, 60, (60,), '/')),
    (':games', Account(0, 60, (60,), '/root')),
    (':4711', Account(0, 4711, (4711,), '/root')),
    ('homeless', Account(1002, 1002, (1002,), '/')),
    ('short:short', Account(1003, 61, (61,), '/')),
    ('2147483647:2147483647', Account(2147483647, 2147483647, (2147483647,), '/')),
    ('0001000', Account(1000, 1001, (1001, 50), '/home/app'))])
def test_users_are_resolved_as_docker_does(user: str, account: Account) -> None:
    assert ACCOUNTS.resolve(user) == account


@pytest.mark.parametrize('user, message', [
    ('nobody', "user 'nobody', but its /etc/passwd does not have"),
    ('nobody:root', "user 'nobody', but its /etc/passwd does not have"),
    ('app:nobodies', "group 'nobodies', but its /etc/group does not have"),
    ('app:a:b', "group 'a:b', but its /etc/group does not have"),
    ('-1', "user '-1', but"), (' app', "user ' app', but"),
    ('2147483648', 'user 2147483648, but the largest possible id is 2147483647'),
    ('0:4294967295', 'group 4294967295, but the largest possible')])
def test_an_unknown_user_is_an_error(user: str, message: str) -> None:
    with pytest.raises(InvalidImage) as raised:
        ACCOUNTS.resolve(user)
    assert message in str(raised.value)


def test_without_files_numbers_alone_will_do() -> None:
    none = Accounts.parse(None, None)
    assert none.resolve('') == Account(0, 0, (0,), '/') and none.resolve('5:6') == Account(5, 6, (6,), '/')
    for name in ('root', '0:root'):
        with pytest.raises(InvalidImage, match='root'):
            none.resolve(name)


@pytest.mark.parametrize('line', [
    b'ghost', b'ghost:x', b'ghost:x::', b'ghost:x:a:1::/:', b'ghost:x:1:-1::/:', b'ghost:x:99999999999999999999:1::/:',
    b'ghost:x:4294967296:1::/:', b'root::x:ghost\x0bghost:x:5:5::/:', b'#ghost:x:5:5::/:', b'gh\xffost:x:5:5::/:'])
def test_malformed_lines_add_no_user_and_hide_none(line: bytes) -> None:
    accounts = Accounts.parse(b'\n' + line + b'\n  \n' + PASSWD, GROUP)
    with pytest.raises(InvalidImage, match='ghost'):
        accounts.resolve('ghost')
    assert accounts.resolve('app') == ACCOUNTS.resolve('app')


def test_files_with_dos_line_ends_and_bytes_of_other_encodings_are_read() -> None:
    accounts = Accounts.parse(b'app:x:5:6:\xe4:/home/\xe4:\r\n', b'team:x:7:app\r\n')
    assert accounts.resolve('app') == Account(5, 6, (6, 7), '/home/\N{REPLACEMENT CHARACTER}')
