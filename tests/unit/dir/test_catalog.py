"""catalog.json as it grows: what is written is what the images are, and thousands are not looked at for each one."""
import json
import random
from typing import Any

import pytest

from occystrap_dir.directory import catalog as catalog_file
from occystrap_dir.directory.catalog import Catalog, Entry, parse_catalog


def some_entry(chance: random.Random) -> Entry:
    """Return an entry that often has the name, the tag or the manifest of another one."""
    manifest = f'{chance.choice(("manifest-", "manifest-A"))}{chance.randrange(12)}.json'
    return Entry(f'team/app-{chance.randrange(6)}', f'v{chance.randrange(4)}', manifest)


@pytest.mark.parametrize('seed', range(20))
def test_a_catalog_says_what_was_put_into_it_and_taken_out_of_it(seed: int) -> None:
    chance, catalog, expected = random.Random(seed), Catalog(), dict[tuple[str, str], str]()
    for _ in range(60):
        entry = some_entry(chance)
        if chance.random() < 0.7:
            expected = {key: manifest for key, manifest in expected.items() if manifest != entry.manifest}
            expected[entry.name, entry.tag] = entry.manifest
            catalog = catalog.copy() if chance.random() < 0.5 else catalog
            catalog.put(entry)
        elif found := catalog.find(entry.name, entry.tag):
            del expected[entry.name, entry.tag]
            catalog.remove(found)
        document = json.loads(catalog.to_json())
        assert {(name, tag): manifest for name, tags in document.items() for tag, manifest in tags.items()} == expected
        assert sorted(catalog) == sorted(Entry(*key, manifest) for key, manifest in expected.items())
        assert catalog.is_taken(entry.manifest.upper()) == (entry.manifest in expected.values())
        assert catalog.to_json() == Catalog(random.Random(seed).sample([*catalog], len([*catalog]))).to_json()


def test_a_copy_does_not_change_with_the_original() -> None:
    catalog = Catalog([Entry('app', 'v1', 'manifest-1.json'), Entry('app', 'v2', 'manifest-2.json')])
    before, copy = catalog.to_json(), catalog.copy()
    catalog.put(Entry('app', 'v1', 'manifest-3.json'))
    catalog.remove(Entry('app', 'v2', 'manifest-2.json'))
    assert copy.to_json() == before
    assert copy.with_manifest('manifest-2.json') and not catalog.with_manifest('manifest-2.json')
    assert not copy.is_taken('manifest-3.json')


def test_what_was_just_written_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(Entry(f'app-{number}', 'v1', f'manifest-{number}.json') for number in range(2000))
    catalog.to_json()
    catalog.put(Entry('app', 'v1', 'manifest-app.json'))

    def refused(*arguments: Any) -> Any:
        raise AssertionError('the others were parsed or written again')
    monkeypatch.setattr(catalog_file, 'parse_object', refused)
    raw = catalog.to_json()
    known = parse_catalog(raw, 'catalog.json')
    assert known.find('app', 'v1') and len([*known]) == 2001
    known.copy().remove(Entry('app', 'v1', 'manifest-app.json'))
    assert parse_catalog(raw, 'catalog.json').find('app', 'v1')
