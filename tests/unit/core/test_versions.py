"""Ranges of versions, as npm, Cargo, Helm and skopeo read them, and the order of versions in tags."""
import pytest

from occystrap_core.oci.versions import Version, VersionRange


@pytest.mark.parametrize(('text', 'inside', 'outside'), [
    ('>=1.2 <2', '1.2 v1.2.0 1.9.9 1.2.3.4', '1.1.9 2 2.0.0 1.3-rc1 latest'),
    ('>= 1.2, < 2', '1.3', '2'),
    ('>=1.2.0-0 <2', '1.3-rc1 1.2.0-rc1 1.2', '1.1-rc1'),
    ('^1.4', '1.4 1.9', '1.3 2.0'), ('^0.2.3', '0.2.3 0.2.9', '0.3 0.2.2'), ('^0.0.3', '0.0.3', '0.0.4'),
    ('~1.4.2', '1.4.2 1.4.9', '1.5 1.4.1'), ('~1', '1.0 1.9', '2'), ('1.x || 3.*', '1 1.9 3.4', '2.0 4'),
    ('1.2 - 1.5', '1.2 1.5.9', '1.6 1.1'), ('1.2', '1.2 1.2.7', '1.3'), ('=1.2.3', '1.2.3', '1.2.4 1.2.3-rc1'),
    ('>1.2', '1.3', '1.2 1.2.5'), ('<=1.2', '1.2.5 1.1', '1.3'), ('!=1.2', '1.3', '1.2.3'), ('*', '0.1 20.04', '1-rc'),
    ('>20.04', '20.10 22.04', '20.04'), ('1.2.3', '1.2.3 v1.2.3_build.5', '1.2.3-5')])
def test_ranges(text: str, inside: str, outside: str) -> None:
    fits = VersionRange.parse(text)
    assert [tag for tag in inside.split() if Version.parse(tag) not in fits] == []
    assert [tag for tag in outside.split() if Version.parse(tag) in fits] == []


@pytest.mark.parametrize('text', ['', '||', 'latest', '>=', '>=1.2 <', '1..2', '>=1.2<2', '1.2 -', '>>1', '1.2.3-'])
def test_invalid_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="expected a range of versions, such as '>=1.2 <2'"):
        VersionRange.parse(text)


def test_versions_are_in_the_order_of_semver() -> None:
    written = ['1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2', '1.0.0-beta.11',
               '1.0.0-rc.1', 'v1.0', '1.0.0.1', '1.9', '1.10', '20.04']  # the first seven are the standard's example
    versions = [Version.parse(tag) for tag in written]
    assert sorted(reversed(versions)) == versions  # type: ignore[type-var]
    assert Version.parse('1.2') == Version.parse('v1.2.0') and Version.parse('stable') is None
