"""What a compiled program's listing says (`compiled.as_text()`): ops, loops, cycles, collectives.

The listing is XLA's optimised HLO. On TPUs the compiler writes its estimate of an op's cycles
beside it; GPUs have none, there the number of kernels is what can be counted.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

BYTES = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
# What is no work of the device: names, views, and what is counted where it is called from.
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
    "iota",
    "while",
    "conditional",
    "call",
    "opt-barrier",
    "async-start",
    "async-update",
    "async-done",
}
_COMPUTATION = re.compile(r"^(ENTRY )?%([^\s(]+) \(.*\{$")
_OP = re.compile(r"^\s+(ROOT )?%(\S+) = (.+?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"\b(pred|[suf]\d+\w*|bf16|c64|c128)\[([\d,]*)\](?:\{([\d,]*)[:}])?")
_CALLED = re.compile(r"(calls|body|condition|to_apply|called_computations|branch_computations)=")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a shape: its type, its dimensions and their order in memory, minor first."""

    dtype: str
    dims: tuple[int, ...]
    layout: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes without padding."""
        bits = re.match(r"[suf](\d+)", self.dtype)
        size = max(int(bits[1]) // 8, 1) if bits else BYTES[self.dtype]
        return math.prod(self.dims) * size


@dataclasses.dataclass(frozen=True)
class Op:
    """One line of a computation.

    Attributes:
        name: unique in the program.
        opcode: such as "fusion" or "while".
        results: the arrays that it makes.
        operands: names.
        called: names of the computations that it calls, by the attribute that names them.
        text: the whole line.
        root: whether it is its computation's result.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    called: dict[str, tuple[str, ...]]
    text: str
    root: bool

    @property
    def cycles(self) -> int:
        """The compiler's estimate for one execution; 0 where it gives none."""
        found = re.search(r'"estimated_cycles":"(-?\d+)"', self.text)
        return max(int(found[1]), 0) if found else 0

    @property
    def source(self) -> str:
        """The name of the operation in JAX that it comes from."""
        found = re.search(r'op_name="([^"]*)"', self.text)
        return found[1] if found else ""

    @property
    def nbytes(self) -> int:
        """Bytes of the results."""
        return sum(array.nbytes for array in self.results)


@dataclasses.dataclass(frozen=True)
class Executed:
    """An op that is executed by itself, outside of fusions.

    Attributes:
        op: of the listing.
        times: how often, with the trips of the loops around it; those of unknown trips count once.
        loops: names of the loops of unknown trips around it.
    """

    op: Op
    times: int
    loops: tuple[str, ...]


class Listing:
    """A parsed listing.

    Attributes:
        computations: the ops of every computation, by its name.
        entry: the name of the one where the program starts.
    """

    def __init__(self, text: str):
        self.computations: dict[str, dict[str, Op]] = {}
        self.entry = ""
        ops: dict[str, Op] | None = None
        for line in text.splitlines():
            if ops is None:
                if head := _COMPUTATION.match(line):
                    ops = self.computations[head[2]] = {}
                    self.entry = head[2] if head[1] else self.entry
            elif line.startswith("}"):
                ops = None
            elif found := _OP.match(line):
                op = _op(found, line)
                ops[op.name] = op
        if not self.entry:
            raise ValueError("no entry computation found: expected XLA's optimised HLO as text")

    @functools.cached_property
    def executed(self) -> tuple[Executed, ...]:
        """Everything that the device executes, in loops as often as they turn."""
        return tuple(self._walk(self.entry, 1, ()))

    def _walk(self, name: str, times: int, loops: tuple[str, ...]) -> Iterator[Executed]:
        for op in self.computations[name].values():
            match op.opcode:
                case "while":
                    trips = self.trips(op)
                    around = loops if trips is not None else (*loops, op.name)
                    for kind in ("condition", "body"):
                        for called in op.called[kind]:
                            yield from self._walk(called, times * (trips or 1), around)
                case "conditional":
                    yield from max(
                        (list(self._walk(c, times, loops)) for c in _all_called(op)),
                        key=lambda found: sum(e.op.cycles for e in found),
                        default=(),
                    )
                case "call" | "async-start":
                    for called in _all_called(op):
                        yield from self._walk(called, times, loops)
                case _ if op.opcode not in _FREE and not op.opcode.endswith("-done"):
                    yield Executed(op, times, loops)

    def trips(self, loop: Op) -> int | None:
        """How often a `while` turns, where a constant says so."""
        if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.text):
            return int(known[1])
        condition = self.computations[loop.called["condition"][0]]
        compare = _root(condition)
        operands = [condition.get(name) for name in compare.operands]
        if compare.opcode == "fusion":
            compare = _root(self.computations[_all_called(compare)[0]])
        if compare.opcode != "compare" or "direction=LT" not in compare.text:
            return None
        constants = [op for op in operands if op is not None and op.opcode == "constant"]
        counts = [int(n) for op in constants for n in re.findall(r"constant\((\d+)\)", op.text)]
        counts += filter(None, (self._carried(loop, op) for op in operands if op is not None))
        return counts[0] if len(counts) == 1 else None

    def _carried(self, loop: Op, op: Op) -> int | None:
        """The constant that a loop carries along in its tuple, if an op takes it from there."""
        index = re.search(r"index=(\d+)", op.text)
        if op.opcode != "get-tuple-element" or index is None:
            return None
        for ops in self.computations.values():
            if loop.name in ops:
                value = ops[ops[loop.operands[0]].operands[int(index[1])]]
                while value.opcode in ("copy", "bitcast"):
                    value = ops[value.operands[0]]
                body = self.computations[loop.called["body"][0]]
                if value.opcode != "constant" or not _unchanged(body, int(index[1])):
                    return None
                found = re.search(r"constant\((\d+)\)", value.text)
                return int(found[1]) if found else None
        return None

    @property
    def cycles(self) -> int:
        """The compiler's estimate for the whole program; loops of unknown trips count once."""
        return sum(e.op.cycles * e.times for e in self.executed)

    @property
    def kernels(self) -> int:
        """How many kernels are started (on GPUs); loops of unknown trips count once."""
        return sum(e.times for e in self.executed if not e.op.opcode.endswith("-start"))

    @property
    def opaque(self) -> list[Op]:
        """Executed ops that do work and have no estimate, on a TPU."""
        return [
            e.op
            for e in self.executed
            if not e.op.cycles
            and (e.op.opcode in ("sort", "reduce-window") or "tpu_custom_call" in e.op.text)
        ]

    def inside(self, opcode: str) -> list[Op]:
        """Every op of a kind, those inside fusions included."""
        return [
            op for ops in self.computations.values() for op in ops.values() if op.opcode == opcode
        ]

    def relayouts(self, least_bytes: int) -> list[Op]:
        """Copies and transpositions of arrays of so many bytes that change the order in memory."""
        large = []
        for e in self.executed:
            if e.op.opcode not in ("copy", "transpose", "reshape") or e.op.nbytes < least_bytes:
                continue
            if e.op.opcode == "copy" and self._layout_of_operand(e.op) == e.op.results[0].layout:
                continue
            large.append(e.op)
        return large

    def _layout_of_operand(self, op: Op) -> tuple[int, ...] | None:
        for ops in self.computations.values():
            if op.name in ops and op.operands and op.operands[0] in ops:
                results = ops[op.operands[0]].results
                return results[0].layout if len(results) == 1 else None
        return None

    def collectives(self) -> dict[str, tuple[int, int]]:
        """Number and bytes (of a device) of every kind of collective."""
        found: dict[str, tuple[int, int]] = {}
        for e in self.executed:
            kind = e.op.opcode.removesuffix("-start")
            if kind in COLLECTIVES:
                number, nbytes = found.get(kind, (0, 0))
                # The start of an asynchronous one holds its operands, too.
                arrays = e.op.results
                if e.op.opcode != kind:
                    arrays = arrays[len(arrays) // 2 :]
                own = sum(array.nbytes for array in arrays)
                found[kind] = (number + e.times, nbytes + own * e.times)
        return found


def _op(found: re.Match[str], line: str) -> Op:
    root, name, shape, opcode, rest = found.groups()
    operands, attributes = _split(rest)
    called: dict[str, tuple[str, ...]] = {}
    for part in _CALLED.finditer(attributes):
        names = re.match(r"\{([^}]*)\}|%?([^\s,]+)", attributes[part.end() :])
        if names is not None:
            inner = names[1] if names[1] is not None else names[2]
            called[part[1]] = tuple(n.strip().lstrip("%") for n in inner.split(","))
    arrays = tuple(
        Array(
            dtype,
            tuple(map(int, filter(None, dims.split(",")))),
            tuple(map(int, filter(None, (layout or "").split(",")))),
        )
        for dtype, dims, layout in _ARRAY.findall(shape)
    )
    names = tuple(re.findall(r"%([\w.\-]+)", operands))
    return Op(name, opcode, arrays, names, called, line.strip(), root is not None)


def _split(rest: str) -> tuple[str, str]:
    """Operands and attributes: what lies before and after the bracket that closes the operands."""
    depth = 1
    for i, character in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return rest[:i], rest[i + 1 :]
    return rest, ""


def _all_called(op: Op) -> list[str]:
    return [name for names in op.called.values() for name in names]


def _root(computation: dict[str, Op]) -> Op:
    return next(op for op in computation.values() if op.root)


def _unchanged(body: dict[str, Op], index: int) -> bool:
    """Whether a loop's body hands an element of its tuple on as it is."""
    root = _root(body)
    if root.opcode != "tuple":
        return False
    value = body[root.operands[index]]
    while value.opcode in ("copy", "bitcast"):
        value = body[value.operands[0]]
    return value.opcode == "get-tuple-element" and f"index={index}" in value.text
