"""A table of hashes holds what a dict of Python's holds, in less than half the memory."""
import random
import sys

from occystrap_core.destinations.hash_table import HashTable


def test_it_holds_what_a_dict_holds() -> None:
    chances, table, model = random.Random(7), HashTable(4), dict[int, int]()
    near = [number << 20 for number in range(200)]  # all of them begin at the first slot
    for _ in range(20_000):
        key = chances.choice([chances.choice(near), chances.randrange(500), chances.randrange(-1 << 63, 1 << 63)])
        if chances.random() < 0.4:
            assert (table.get(key), key in table) == (model.get(key), key in model)
        else:
            table[key] = model[key] = chances.randrange(-1 << 63, 1 << 63)
        assert len(table) == len(model)
    assert {key: table.get(key) for key in model} == model


def test_its_memory() -> None:
    table, model = HashTable(), dict[int, int]()
    for number in range(50_000):
        table[hash(str(number))] = model[hash(str(number))] = hash((number, 'image'))
    dict_size = sys.getsizeof(model) + sum(2 * sys.getsizeof(each) for each in model)
    assert 2 * sum(map(sys.getsizeof, (table._keys, table._values))) < dict_size
