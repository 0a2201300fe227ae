"""On which track beside its life line each arrow of a story goes down: those on their way together beside each other.

Pure. Tracks are numbers from 0, the innermost; how far that is from the line is the drawing's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..model.sequence import Arrow, Story, find_arrows


def lay_tracks(story: Story) -> Mapping[Arrow, int]:
    """The track of each arrow that goes down: as many as are on their way at the same time.

    What leaves later is further inside: then none has to cross another that came from the same line.
    """
    chosen: dict[Arrow, int] = {}
    for group in _groups(story):
        most = max(sum(other.source <= arrow.source < other.target for other in group) for arrow in group)
        for place, arrow in reversed(list(enumerate(group))):
            taken = {chosen[other] for other in group[place + 1 :] if other.source < arrow.target}
            outside = max(taken, default=-1) + 1
            free = next(track for track in range(len(taken) + 1) if track not in taken)
            chosen[arrow] = outside if outside < most else free
    return chosen


def find_side(story: Story, arrow: Arrow) -> int:
    """-1: it leaves to the left; 1: to the right, as does one that stays on its line."""
    return 1 if story.steps[arrow.target].line >= story.steps[arrow.source].line else -1


def find_leaving(story: Story) -> Mapping[int, Sequence[Arrow]]:
    """The arrows that go down, by the step that they leave: those that arrive first come first."""
    leaving: defaultdict[int, list[Arrow]] = defaultdict(list)
    for arrows in find_arrows(story).values():
        for arrow in arrows:
            if arrow.source < arrow.target:
                leaving[arrow.source].append(arrow)
    return {source: sorted(leaving[source], key=lambda arrow: arrow.target) for source in sorted(leaving)}


def _groups(story: Story) -> list[Sequence[Arrow]]:
    """The arrows that go down at the same side of the same line, in the order in which they leave."""
    groups: defaultdict[tuple[int, int], list[Arrow]] = defaultdict(list)
    for source, arrows in find_leaving(story).items():
        for arrow in dict.fromkeys(arrows):
            groups[story.steps[source].line, find_side(story, arrow)].append(arrow)
    return list(groups.values())
