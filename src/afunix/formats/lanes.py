"""How wide each lane of a drawing in a terminal is: the life line, and what is right of it up to the next. Pure."""

from __future__ import annotations

LEAST_LANE = 15
"""The head of a life line, and the label of an arrow, need so much; the last lane has more, for a call beside it."""

LEAST_LAST = 20
_LAST = 35  # the last lane's share where lanes are narrow: nothing is right of it to run over
_READABLE = 24


def share(needs: list[int], total: int) -> list[int]:
    """What each lane gets of `total`: what it needs; where that is too much the greatest needs are cut equally."""
    if sum(needs) > total and len(needs) > 1:
        equal = total // len(needs)
        left_over = min(_LAST, total - LEAST_LANE * (len(needs) - 1))
        last = min(needs[-1], max(left_over, equal if equal >= _READABLE else LEAST_LAST))
        return [*_cut(needs[:-1], total - last), last]
    return _cut(needs, total)


def _cut(needs: list[int], total: int) -> list[int]:
    shares = [0] * len(needs)
    for left, position in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[position] = min(needs[position], (total - sum(shares)) // (len(needs) - left))
    return shares
