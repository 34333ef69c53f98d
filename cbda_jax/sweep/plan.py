"""Which runs a sweep consists of, and what they have in common."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_collections

from cbda_jax.acquisition import BUDGET_EXAMPLES
from cbda_jax.config import budget_fields, check, field_of, flat
from cbda_jax.config import files as config_files
from cbda_jax.errors import InputError, near
from cbda_jax.methods import FIELDS
from cbda_jax.run import assembly

_FIELDS = ("config", "seeds", "budgets", "baseline", "common", "arms")
_OPTIONAL = ("pairs",)
_NAME = re.compile(r"[A-Za-z0-9_]+")
# Of the sweep itself; an arm or `common` that set them would hide what the names of runs say.
_UNIT = "acquisition.budget_in"
_OF_METHOD = ("method", *(f"acquisition.{name}" for name in FIELDS))
_OWN = ("seed", "acquisition.budget", "checkpoint.dir")


@dataclass(frozen=True)
class Warm:
    """The training that runs share before their first round.

    Attributes:
        name: of its workdir in the folder `warm`.
        step: where it ends: before the first round.
        overrides: fields that its config changes.
    """

    name: str
    step: int
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of the sweep.

    Attributes:
        arm: its name.
        budget: fraction of the target's pixels; None for an arm without rounds.
        seed: of the run.
        allocation: "per_image" or "global"; None for an arm without rounds.
        overrides: fields that its config changes, and their values.
        config: the whole of it, an `ml_collections.ConfigDict`.
        warm: what it can start from.
    """

    arm: str
    budget: float | int | None
    seed: int
    allocation: str | None
    overrides: Mapping[str, Any]
    config: Any
    warm: Warm | None

    @property
    def name(self) -> str:
        """Of its workdir in the folder `runs`, and of its log."""
        budget = "" if self.budget is None else f"-b{self.budget:g}"
        return f"{self.arm}{budget}-s{self.seed}"

    @property
    def digest(self) -> str:
        """Of all fields that results depend on, which where data lie is not; 8 hex digits.

        Of the method it has what it does, not its name: another default is another method.
        """
        method = dataclasses.asdict(assembly.resolve_method(self.config))
        fields = {
            name: value
            for name, value in flat(self.config).items()
            if name not in _OF_METHOD
            and ((field := field_of(name)) is None or field.change not in ("resume", "moved"))
        }
        text = json.dumps([method, fields], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        config: the experiment's config file, with an argument behind a colon or without.
        baseline: the arm that the others are compared with.
        arms: names, in the order of the tables.
        budgets: of all arms, rising.
        runs: arm by arm, budget by budget, seed by seed.
        unit: of the budgets; "pixels" are fractions of the target's.
        pairs: arms that are tested against others than the baseline: (arm, the other).
        evaluated: the split that the figures are of.
    """

    config: str
    baseline: str
    arms: tuple[str, ...]
    budgets: tuple[float | int, ...]
    runs: tuple[Run, ...]
    unit: str = "pixels"
    pairs: tuple[tuple[str, str], ...] = ()
    evaluated: str = ""

    def shown(self, budget: float | int) -> float | int:
        """A budget as tables and figures have it: in percent, or in its unit."""
        return 100 * budget if self.unit == "pixels" else budget

    @property
    def shown_unit(self) -> str:
        """The unit of `shown`: "% of the target's pixels", say."""
        return "% of the target's pixels" if self.unit == "pixels" else self.unit.replace("_", " ")

    def digits(self, budget: float | int) -> str:
        """`shown` in digits, percent in three: 100 pixels of 480 x 360 are "0.0579"."""
        return f"{self.shown(budget):{'.3g' if self.unit == 'pixels' else 'g'}}"

    def words(self, budget: float | int) -> str:
        """A budget in words: "5 %", or "45 answers per image"."""
        return f"{self.digits(budget)} {'%' if self.unit == 'pixels' else self.shown_unit}"


def apart(sweep: Any) -> Any:
    """A sweep to choose by, on what had no part in the choice: test split, seeds 3 to 7.

    Args:
        sweep: a ConfigDict of other seeds, its `data.test` a validation split. It is changed.
    """
    sweep.seeds = (3, 4, 5, 6, 7)
    del sweep.common["data.test"]
    return sweep


def make_plan(sweep: assembly.Config, arms: Sequence[str] | None = None) -> Plan:
    """Resolves and checks every run of a sweep.

    Args:
        sweep: see `configs/sweeps/synthetic.py`.
        arms: only these, in the sweep's order; None: all.

    Raises:
        InputError: a field of the sweep or of a run is not as expected.
    """
    known_fields = (*_FIELDS, *_OPTIONAL)
    for name in sweep:
        if name not in known_fields:
            raise InputError(
                f"sweep: field {name!r} found, expected {', '.join(known_fields)}"
                f"{near(name, known_fields)}"
            )
    if missing := [name for name in _FIELDS if name not in sweep]:
        raise InputError(f"sweep: no field {', '.join(missing)} found; add it to the config")
    seeds = _numbers(sweep.seeds, "seeds", int, "whole numbers of 0 or more")
    common = _mapping(sweep.common, "common")
    budgets = _budgets(sweep.budgets, "budgets", common)
    known = {
        name: _arm(changed, f"arms[{name!r}]", common)
        for name, changed in _mapping(sweep.arms, "arms").items()
    }
    for name in known:
        if not _NAME.fullmatch(name):
            raise InputError(f"arms: {name!r} found, expected letters, digits and _ in a name")
    chosen = list(known)
    if arms is not None:
        for name in arms:
            _check_arm(name, known, "--arms")
        chosen = [name for name in known if name in arms]
    _check_arm(sweep.baseline, chosen, "baseline")
    base = _load(sweep.config)
    runs = [
        _resolve(base, arm, common, known[arm], budget, seed)
        for arm in chosen
        for budget in _budgets_of(base, arm, common, known[arm], budgets)
        for seed in seeds
    ]
    used = sorted({run.budget for run in runs if run.budget is not None})
    # Of all arms, as their tables compare them at the same budget.
    units = {run.config.acquisition.budget_in for run in runs if run.budget is not None}
    if len(units) > 1:
        raise InputError(
            f"acquisition.budget_in: {', '.join(sorted(units))} in different arms found, expected "
            "one unit of all budgets; set it in common"
        )
    unit = next(iter(units), "pixels")
    pairs = _pairs(sweep.get("pairs", ()), known, chosen)
    evaluated = ", ".join(sorted({run.config.data.test for run in runs}))
    arms_, budgets_, runs_ = tuple(chosen), tuple(used), tuple(runs)
    return Plan(sweep.config, sweep.baseline, arms_, budgets_, runs_, unit, pairs, evaluated)


def _pairs(
    values: Any, known: Mapping[str, Any], chosen: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs of arms that are tested against each other, of those that are run."""
    good = isinstance(values, tuple | list) and all(
        isinstance(pair, tuple | list) and len(pair) == 2 for pair in values
    )
    if not good:
        raise InputError(f"pairs: {values!r} found, expected pairs of arms, (arm, the other)")
    for arm in (arm for pair in values for arm in pair):
        _check_arm(arm, known, "pairs")
    return tuple((arm, other) for arm, other in values if {arm, other} <= {*chosen})


def _numbers(values: Any, field: str, kind: Any, expected: str) -> tuple[Any, ...]:
    good = isinstance(values, tuple | list) and all(
        isinstance(value, kind) and not isinstance(value, bool) and value >= 0 for value in values
    )
    if not good or not values or len(set(values)) < len(values):
        raise InputError(f"{field}: {values!r} found, expected one or more {expected}, each once")
    return tuple(values)


def _budgets(values: Any, field: str, fields: dict[str, Any]) -> tuple[float | int, ...]:
    """Budgets as numbers; the unit that they are given in goes to the fields."""
    if isinstance(values, tuple | list) and any(isinstance(value, str) for value in values):
        units, numbers = set(), []
        for value in values:
            try:
                said = budget_fields(value) if isinstance(value, str) else {}
            except InputError as error:
                raise InputError(f"{field}: {error}") from error
            units.add(said.get(_UNIT))
            numbers.append(said.get("acquisition.budget", value))
        known = {fields.get(_UNIT)} - {None}
        if len(units) > 1 or (known and not units <= {*known, None}):
            shown = ", ".join(sorted(str(unit or "none") for unit in {*units, *known}))
            raise InputError(
                f"{field}: {values!r} found, in the units {shown}; expected one unit of all "
                "budgets; leave the others out"
            )
        if unit := next(iter(units)):
            fields[_UNIT] = unit
        values = tuple(numbers)
    return _numbers(values, field, (int, float), f"numbers above 0, or {BUDGET_EXAMPLES}")


def _arm(changed: Any, where: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an arm, its budgets as numbers."""
    fields = dict(_mapping(changed, where))
    if fields.get("budgets"):
        unit = {_UNIT: common[_UNIT]} if _UNIT in common else {}
        said = {**unit, **fields}
        fields["budgets"] = _budgets(fields["budgets"], f"{where}: budgets", said)
        fields |= {_UNIT: said[_UNIT]} if _UNIT in said else {}
    return fields


def _mapping(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping | ml_collections.ConfigDict):
        raise InputError(f"{field}: {value!r} found, expected a dict of names and values")
    return dict(value.items())


def _check_arm(name: str, known: Sequence[str] | Mapping[str, Any], where: str) -> None:
    if name not in known:
        raise InputError(
            f"{where}: {name!r} found, expected one of the arms {', '.join(known)}"
            f"{near(name, known)}"
        )


def _load(config: str) -> ml_collections.ConfigDict:
    try:
        return config_files.load(config)
    except InputError as error:
        raise InputError(f"config: {error}") from error


def _change(
    base: ml_collections.ConfigDict, fields: Mapping[str, Any], where: str
) -> ml_collections.ConfigDict:
    known = flat(base)
    for name in fields:
        if name not in known:
            raise InputError(
                f"{where}: field {name!r} found, expected one of the experiment's config"
                f"{near(name, known)}"
            )
    config = base.copy_and_resolve_references()
    try:
        config.update_from_flattened_dict(dict(fields))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}; correct the value") from error
    return config


def _budgets_of(
    base: ml_collections.ConfigDict,
    arm: str,
    common: Mapping[str, Any],
    changed: Mapping[str, Any],
    budgets: Sequence[float | int],
) -> Sequence[float | int | None]:
    where = f"arms[{arm!r}]"
    fields = {**common, **changed}
    own = fields.pop("budgets", None)
    try:
        acquires = assembly.resolve_method(_change(base, fields, where)).acquires
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if own is None:
        return budgets if acquires else (None,)
    if bool(own) != acquires:
        wanted = "one budget or more, or none given" if acquires else "(), for it asks nothing"
        raise InputError(f"{where}: budgets {own!r} found, expected {wanted}")
    return own or (None,)


def _resolve(
    base: ml_collections.ConfigDict,
    arm: str,
    common: Mapping[str, Any],
    changed: Mapping[str, Any],
    budget: float | int | None,
    seed: int,
) -> Run:
    where = f"arms[{arm!r}]"
    fields = {**common, **changed}
    fields.pop("budgets", None)
    for name in _OWN:
        if name in fields:
            raise InputError(f"{where}: {name} found, expected fields that the sweep does not set")
    fields["seed"] = seed
    if budget is not None:
        fields["acquisition.budget"] = float(budget)
    config = _change(base, fields, where)
    try:
        check(config)
        method = assembly.resolve_method(config)
        steps = assembly.round_steps(config, method)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    warm = None
    if method.source and method.target and steps and steps[0] > 0:
        warm = _warm(base, config, steps[0])
    allocation = method.allocation if method.acquires else None
    return Run(arm, budget, seed, allocation, changes(base, config), config, warm)


def _warm(base: ml_collections.ConfigDict, config: ml_collections.ConfigDict, step: int) -> Warm:
    """What a run does up to its first round: nothing of what it acquires later matters.

    So its own fields of `acquisition` and `annotation` give way to those of the experiment, those
    of the balance of the loss too, which begins with the first answers, and the method to one of
    those that acquire: the same for all runs that share it, whichever of them are in the sweep.
    """
    fields = flat(config)
    later = ("acquisition.", "annotation.", "training.class_weight", "training.logit_adjustment")
    fields |= {name: v for name, v in flat(base).items() if name.startswith(later)}
    fields |= {"method": "ripu", "acquisition.rounds": (step,)}
    shared = _change(base, fields, "warm start")
    text = json.dumps(flat(shared), sort_keys=True, default=str)
    name = f"s{config.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Warm(name, step, changes(base, shared))


def changes(base: ml_collections.ConfigDict, config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The fields in which a config differs from the one it was made from."""
    before = flat(base)
    return {name: value for name, value in flat(config).items() if before[name] != value}
