"""How many images are at work: fewer after refusals."""
from occystrap_core.bulk.pace import Pace


def test_refusals_halve_the_number_and_answers_give_it_back() -> None:
    now = [0.0]
    pace = Pace(8, lambda: now[0])
    pace.answered(refused=True)
    pace.answered(refused=True)  # of the same moment
    assert pace.slots == 4
    for _ in range(5):
        now[0] += 1
        pace.answered(refused=True)
    assert pace.slots == 1
    for _ in range(20):
        pace.answered(refused=False)
    assert pace.slots == 8
