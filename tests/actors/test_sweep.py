"""The pace of a sweep: pages get shorter while others wait for them, and longer again."""

from sojourn.actors.sweep import LEAST_PAGE, QUICK, SLOW, SWEEP_PAGE, Pace


def test_pages_are_halved_while_they_take_long_down_to_the_least() -> None:
    pace = Pace()
    sizes = [pace.page]
    for _ in range(10):
        pace.took(SLOW * 1.1)
        sizes.append(pace.page)
    assert sizes[:3] == [SWEEP_PAGE, SWEEP_PAGE // 2, SWEEP_PAGE // 4]
    assert sizes[-1] == LEAST_PAGE


def test_pages_grow_again_when_they_are_quick_and_stay_in_between() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(SLOW * 1.1)
    pace.took((SLOW + QUICK) / 2)
    assert pace.page == LEAST_PAGE
    for _ in range(10):
        pace.took(QUICK / 2)
    assert pace.page == SWEEP_PAGE
