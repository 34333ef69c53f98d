import runpy
from pathlib import Path

from cbda_jax.config import FIELDS

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_reference.py"


def test_the_reference_is_what_the_fields_say():
    script = runpy.run_path(str(SCRIPT))
    found = script["PATH"].read_text(encoding="utf-8")
    assert found == script["reference"](), "stale: run python scripts/write_reference.py"
    rows = [line for line in found.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(FIELDS)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
