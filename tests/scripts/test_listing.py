"""A listing of a compiled program, read."""

import importlib
from pathlib import Path

import pytest

# ruff: noqa: E501 - a listing's lines are as long as they are
# Of a TPU: a loop of seven turns, its count carried along, around a fusion and a copy.
TEXT = """HloModule jit_f

%fused (p: f32[8,128], q: f32[8,128]) -> f32[8,128] {
  %p = f32[8,128]{1,0:T(8,128)} parameter(0)
  %q = f32[8,128]{1,0:T(8,128)} parameter(1)
  %g = f32[8,128]{1,0:T(8,128)} gather(%p, %q), offset_dims={}
  ROOT %add.1 = f32[8,128]{1,0:T(8,128)} add(%g, %q)
}

%body (t: (s32[], f32[8,128], s32[])) -> (s32[], f32[8,128], s32[]) {
  %t = (s32[], f32[8,128], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%t), index=1
  %n = s32[] get-tuple-element(%t), index=2
  %one = s32[] constant(1)
  %next = s32[] add(%i, %one), backend_config={"estimated_cycles":"3"}
  %y = f32[8,128]{1,0:T(8,128)} fusion(%x, %x), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/add"}, backend_config={"estimated_cycles":"100"}
  %z = f32[8,128]{0,1:T(8,128)} copy(%y), backend_config={"estimated_cycles":"10"}
  ROOT %r = (s32[], f32[8,128], s32[]) tuple(%next, %z, %n)
}

%condition (t: (s32[], f32[8,128], s32[])) -> pred[] {
  %u = (s32[], f32[8,128], s32[]) parameter(0)
  %j = s32[] get-tuple-element(%u), index=0
  %m = s32[] get-tuple-element(%u), index=2
  ROOT %less = pred[] compare(%j, %m), direction=LT
}

ENTRY %main (a: f32[8,128]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %zero = s32[] constant(0)
  %seven = s32[] constant(7)
  %start = (s32[], f32[8,128], s32[]) tuple(%zero, %a, %seven)
  %loop = (s32[], f32[8,128], s32[]) while(%start), condition=%condition, body=%body
  %b = f32[8,128]{0,1:T(8,128)} get-tuple-element(%loop), index=1
  %sum = (f32[8,128], bf16[16]) all-reduce-start(%b, %b), to_apply=%body
  %done = f32[8,128]{0,1:T(8,128)} all-reduce-done(%sum)
  %s = f32[8,128]{0,1:T(8,128)} sort(%done), dimensions={0}
  ROOT %out = f32[8,128]{0,1:T(8,128)} fusion(%s, %s), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"5"}
}
"""


@pytest.fixture
def listing(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    return importlib.import_module("listing").Listing


def test_loops_count_as_often_as_they_turn(listing):
    found = listing(TEXT)
    assert found.cycles == 7 * (3 + 100 + 10) + 5
    times = {e.op.name: e.times for e in found.executed}
    assert times["y"] == 7
    assert times["out"] == 1
    assert not any(e.loops for e in found.executed)


def test_a_loop_of_unknown_turns_counts_once(listing):
    text = TEXT.replace("compare(%j, %m), direction=LT", "compare(%j, %m), direction=NE")
    found = listing(text)
    assert found.cycles == 3 + 100 + 10 + 5
    assert {e.op.name for e in found.executed if e.loops == ("loop",)} >= {"y", "z", "next"}
    # A count that the loop changes is none.
    changed = listing(TEXT.replace("tuple(%next, %z, %n)", "tuple(%next, %z, %next)"))
    assert changed.trips(changed.inside("while")[0]) is None


def test_what_is_in_it(listing):
    found = listing(TEXT)
    assert [op.name for op in found.inside("gather")] == ["g"]
    assert [op.name for op in found.relayouts(4096)] == ["z"]
    assert found.relayouts(4097) == []
    assert [op.name for op in found.opaque] == ["s"]
    assert found.collectives() == {"all-reduce": (1, 32)}
    assert next(e.op for e in found.executed if e.op.name == "y").source == "jit(f)/add"


def test_no_listing_is_said(listing):
    with pytest.raises(ValueError, match="no entry computation"):
        listing("module {}")
