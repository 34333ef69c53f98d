"""How long a TPU's kernel takes by its schedule: the estimate that its listing does not give.

The compiler writes schedules where `LIBTPU_INIT_ARGS='--xla_jf_dump_to=DIR
--xla_jf_dump_llo_text=true'` tells it to. A bundle of instructions takes about a cycle.
"""

import dataclasses
import re
from pathlib import Path

_BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s*(\w*)\s*:\s*(>*)")
_EXIT = re.compile(r", (\d+) /\* loop exit test")


@dataclasses.dataclass
class _Loop:
    """Bundles from `first` to `last`, both included."""

    first: int
    last: int
    trips: int | None = None


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Bundles of one kernel.

    Attributes:
        bundles: of all loops, as often as they turn; those of unknown trips once.
        turn: of one turn of the outermost loop of unknown trips, with what is inside; 0 if there is
            none.
    """

    bundles: int
    turn: int


def read(path: Path) -> Schedule:
    """The schedule in a file `...final_bundles.txt`.

    Raises:
        ValueError: it holds none.
    """
    # By bundle: whether a loop starts there, how deep it lies in loops, and the trips of the
    # innermost one, where its end is tested.
    found: list[tuple[bool, int, int | None]] = []
    for line in path.read_text().splitlines():
        if bundle := _BUNDLE.match(line):
            test = _EXIT.search(line)
            found.append((bundle[1] == "LB", len(bundle[2]), int(test[1]) if test else None))
    if not found:
        raise ValueError(f"{path}: no bundles found, expected a schedule of the TPU compiler")
    loops = []
    for first, (starts, depth, _) in enumerate(found):
        if starts:
            # Where code is shared a bundle can seem to lie outside of its loop.
            last = first
            for i in range(first + 1, len(found)):
                if found[i][0] and found[i][1] <= depth:
                    break
                last = i if found[i][1] >= depth else last
            tests = [trips for _, d, trips in found[first : last + 1] if trips and d == depth]
            loops.append(_Loop(first, last, tests[-1] if tests else None))
    times = [1] * len(found)
    for loop in loops:
        for i in range(loop.first, loop.last + 1):
            times[i] *= loop.trips or 1
    unknown = [loop for loop in loops if loop.trips is None]
    outer = unknown[0] if unknown else None
    turn = sum(times[outer.first : outer.last + 1]) if outer else 0
    return Schedule(sum(times), turn)


def find(folder: Path, op: str) -> Path | None:
    """The file with the schedule of an op, by its name in the listing."""
    files = sorted(folder.glob(f"*-{op}-*final_bundles.txt"))
    files = [file for file in files if "schedule-analysis" not in file.name]
    return files[-1] if files else None
