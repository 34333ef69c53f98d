"""Many runs of one experiment: arms x budgets x seeds, and the tables and figures of all of them.

Every run is a process of `cbda_jax.main` in a workdir of its own; here they are planned, started
and compared.
"""

from cbda_jax.sweep.plan import Plan, Run, Warm, apart, make_plan
from cbda_jax.sweep.runner import Job, Workers, run_all, schedule

__all__ = ["Job", "Plan", "Run", "Warm", "Workers", "apart", "make_plan", "run_all", "schedule"]
