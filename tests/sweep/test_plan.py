"""Which runs there are, what they share, and what is refused."""

import runpy

import ml_collections
import pytest

from cbda_jax import acquisition, annotation
from cbda_jax.config import files
from cbda_jax.errors import InputError
from cbda_jax.run.assembly import resolve_method
from cbda_jax.run.budget import request
from cbda_jax.run.checks import check_budget
from cbda_jax.sweep.plan import flat, make_plan


def sweep(**changed):
    found = ml_collections.ConfigDict(convert_dict=False)
    found.config = "configs/synthetic.py"
    found.seeds = (0, 1)
    found.budgets = (0.1, 0.05)
    found.baseline = "ripu"
    found.common = {"training.steps": 900}
    found.arms = {
        "source_only": {"method": "source_only"},
        "ripu": {"method": "ripu"},
        "all_images": {"method": "cbda", "acquisition.weight_ratio": 10.0, "budgets": (0.1,)},
        "full_supervision": {"method": "full_supervision", "budgets": ()},
    }
    for name, value in changed.items():
        setattr(found, name, value)
    return found


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def test_runs_are_named_and_resolved():
    common = {"acquisition.rounds": (9, 20), "training.steps": 50, "training.optimizer": "adamw"}
    plan = make_plan(sweep(common=common))
    assert [run.name for run in plan.runs] == [
        *("source_only-s0", "source_only-s1"),
        *("ripu-b0.1-s0", "ripu-b0.1-s1", "ripu-b0.05-s0", "ripu-b0.05-s1"),
        *("all_images-b0.1-s0", "all_images-b0.1-s1"),
        *("full_supervision-s0", "full_supervision-s1"),
    ]
    assert plan.budgets == (0.05, 0.1)
    run = plan.runs[7]
    assert run.config.acquisition.weight_ratio == 10
    assert run.overrides["acquisition.rounds"] == (9, 20)
    assert run.overrides["seed"] == 1
    # What is as in the experiment's file is not said again.
    assert "training.optimizer" not in run.overrides
    assert run.allocation == "global"


def test_runs_that_differ_in_what_they_acquire_share_a_warm_start():
    arms = {
        "source_only": {"method": "source_only"},
        "ripu": {"method": "ripu"},
        "later": {"method": "cbda", "acquisition.rounds": (400, 450)},
        "earlier": {"method": "cbda", "acquisition.rounds": (200, 450)},
        "faster": {"method": "cbda", "training.learning_rate": 1e-2},
        "one_key": {"method": "cbda", "annotation.oracle": "centre"},
        # Balanced from the first answers on, and not before.
        "balanced": {
            "method": "ripu",
            "training.class_weights": "inverse_power",
            "training.class_weight_options": "power=0.5",
            "training.logit_adjustment": 1.0,
        },
    }
    plan = make_plan(sweep(arms=arms, seeds=(0, 3), common={}))
    warm = {}
    for run in plan.runs:
        warm.setdefault((run.arm, run.seed), set()).add(run.warm and run.warm.name)
    assert all(len(names) == 1 for names in warm.values())
    assert warm["source_only", 0] == {None}
    assert warm["ripu", 0] == warm["later", 0] == warm["one_key", 0] == warm["balanced", 0]
    others = [warm[key] for key in (("ripu", 0), ("ripu", 3), ("earlier", 0), ("faster", 0))]
    assert len({next(iter(names)) for names in others}) == 4


def test_a_warm_start_is_the_same_whichever_arms_are_in_the_sweep():
    every = make_plan(sweep()).runs
    some = make_plan(sweep(baseline="all_images"), ["all_images"]).runs
    by_name = {run.name: run.warm for run in every}
    assert some
    for run in some:
        assert run.warm == by_name[run.name]
        assert run.warm.step == 400
        assert run.warm.overrides["acquisition.rounds"] == (400,)


def test_a_dict_of_the_experiment_is_flat():
    config = ml_collections.ConfigDict({"a": 1, "b": {"c": (1, 2)}})
    assert flat(config) == {"a": 1, "b.c": (1, 2)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": ()}, r"seeds: \(\) found, expected one or more whole numbers"),
        ({"seeds": (1, 1)}, "each once"),
        ({"budgets": (0.1, "x")}, "budgets: budget 'x' found, expected one such as 0.05, 5%"),
        ({"budgets": (0.1, -1)}, "budgets: .* found, expected one or more numbers"),
        ({"budgets": ("5%", "40px")}, "in the units pixels, pixels_per_image; expected one unit"),
        ({"budgets": (0.05, "40px")}, "in the units none, pixels_per_image; expected one unit"),
        (
            {"budgets": ("3h",), "common": {"acquisition.budget_in": "pixels"}},
            "in the units hours, pixels; expected one unit",
        ),
        ({"budgets": (0.1, 1.5)}, "acquisition.budget: 1.5 found"),
        ({"baseline": "ripy"}, "baseline: 'ripy' found.*did you mean 'ripu'"),
        ({"seedz": (1,)}, "field 'seedz' found.*did you mean 'seeds'"),
        ({"config": "configs/none.py"}, "config: configs/none.py not found"),
        ({"common": {"training.step": 5}}, "'training.step' found.*did you mean 'training.steps'"),
        ({"common": {"seed": 5}}, "seed found, expected fields that the sweep does not set"),
        ({"common": {"training.steps": "many"}}, "correct the value"),
        ({"arms": {"ripu": {"method": "rippu"}}}, r"arms\['ripu'\]: method: .*did you mean 'ripu'"),
        ({"arms": {"ripu": {"method": "ripu", "budgets": ()}}}, "expected one budget or more"),
        (
            {"arms": {"ripu": {}, "so": {"method": "source_only", "budgets": (0.1,)}}},
            r"budgets \(0.1,\) found, expected \(\)",
        ),
        ({"arms": {"ripu": {}, "a-b": {}}}, "'a-b' found, expected letters"),
        ({"arms": {"ripu": "ripu"}}, "expected a dict"),
        ({"common": {"training.steps": 100}}, "acquisition.rounds: .* found, expected increasing"),
    ],
)
def test_mistakes_are_told_in_one_line(changed, message):
    with pytest.raises(InputError, match=message) as found:
        make_plan(sweep(**{"common": {}, **changed}))
    assert "\n" not in str(found.value)


def test_an_arm_of_the_command_line_has_to_be_there():
    with pytest.raises(InputError, match=r"--arms: 'ripi' found.*did you mean 'ripu'"):
        make_plan(sweep(), ["ripi"])
    with pytest.raises(InputError, match="baseline: 'ripu' found"):
        make_plan(sweep(), ["source_only"])


@pytest.mark.parametrize(
    "name",
    [
        *("synthetic", "synthetic_pretrained", "gta2city"),
        *("native", "native_apart", "native2", "native2_apart"),
        *("camvid_native", "camvid_native_apart"),
    ],
)
def test_the_sweeps_that_come_along(name):
    plan = make_plan(runpy.run_path(f"configs/sweeps/{name}.py")["get_config"]())
    assert len({run.name for run in plan.runs}) == len(plan.runs)
    assert {"source_only", "ripu", "cbda", "full_supervision"} <= set(plan.arms)
    seeds = {run.seed for run in plan.runs}
    assert len({run.warm.name for run in plan.runs if run.warm}) == len(seeds)


@pytest.mark.parametrize("name", ["native", "native2", "camvid_native"])
def test_what_is_chosen_by_is_apart_from_what_is_reported(name):
    chosen, apart = (
        make_plan(files.load(f"configs/sweeps/{file}.py")) for file in (name, f"{name}_apart")
    )
    assert chosen.evaluated.endswith("val")
    assert apart.evaluated.endswith("test")
    seeds = [{run.seed for run in plan.runs} for plan in (chosen, apart)]
    assert not seeds[0] & seeds[1]
    assert chosen.arms == apart.arms
    for plan in (chosen, apart):
        ours, theirs = ([r.config for r in plan.runs if r.arm == arm] for arm in plan.pairs[0])
        # The two differ in how they ask, not in the loss.
        assert {c.training.class_weights for c in ours} == {
            c.training.class_weights for c in theirs
        }
        assert {c.training.class_weights for c in ours} == {"inverse_power"}


def test_pairs_that_are_tested():
    assert make_plan(sweep()).pairs == ()
    pairs = (("all_images", "ripu"), ("all_images", "source_only"))
    assert make_plan(sweep(pairs=pairs)).pairs == pairs
    assert make_plan(sweep(pairs=pairs), ["ripu", "all_images"]).pairs == pairs[:1]
    with pytest.raises(InputError, match=r"pairs: 'ripi' found.*did you mean 'ripu'"):
        make_plan(sweep(pairs=(("ripi", "ripu"),)))
    with pytest.raises(InputError, match=r"pairs: .* found, expected pairs of arms"):
        make_plan(sweep(pairs=("ripu",)))


def test_the_experiment_may_have_an_argument():
    given = runpy.run_path("configs/sweeps/gta2city.py")["get_config"]()
    given.config = "configs/gta2city.py:network=segformer_b2"
    given.arms = {"ripu": {"method": "ripu"}}
    plan = make_plan(given)
    assert {run.config.training.optimizer for run in plan.runs} == {"adamw"}
    assert plan.config == given.config


class Nothing:
    ids = ()

    def label(self, index):
        raise NotImplementedError


def test_all_arms_of_the_sweep_at_equal_answers_ask_for_as_many(tmp_path):
    plan = make_plan(files.load("configs/sweeps/answers.py"))
    assert len({run.warm.name for run in plan.runs if run.warm}) == 3  # one a seed
    sizes, setting = [(96, 192)] * 200, annotation.Setting(Nothing(), ("road",), tmp_path)
    acquiring = [run for run in plan.runs if run.budget is not None]
    assert len(acquiring) == 13 * 3
    for run in acquiring:
        method = resolve_method(run.config)
        oracle = annotation.create_oracle(run.config.annotation.oracle, setting)
        keys = annotation.answers_per_query(oracle, method.scoring.squares.label_radius)
        budget = acquisition.Budget(run.budget, plan.unit, keys)
        check_budget(budget, method, sizes, 5)
        asked = [request(method, budget, n, 5, sizes).total(sizes) for n in range(1, 6)]
        # Nothing is left by rounding.
        assert sum(asked) * keys == 45 * 200


def test_all_budgets_of_a_sweep_have_one_unit():
    sweep = files.load("configs/sweeps/answers.py")
    plan = make_plan(sweep)
    assert (plan.unit, plan.budgets) == ("answers_per_image", (45,))
    assert {run.budget for run in plan.runs} == {45, None}
    sweep.arms["ripu_exact"]["acquisition.budget_in"] = "hours"
    with pytest.raises(InputError, match=r"answers_per_image, hours in different arms found"):
        make_plan(sweep)


def test_budgets_with_their_unit():
    plan = make_plan(sweep(budgets=("10%", "5%"), arms={"ripu": {"method": "ripu"}}))
    assert plan.budgets == (0.05, 0.1)
    assert plan.unit == "pixels"
    arms = {"ripu": {"method": "ripu"}, "own": {"method": "ripu", "budgets": ("40px",)}}
    plan = make_plan(sweep(budgets=("40px", "80px"), arms=arms))
    assert plan.unit == "pixels_per_image"
    assert [run.name for run in plan.runs if run.seed == 0] == [
        "ripu-b40-s0",
        "ripu-b80-s0",
        "own-b40-s0",
    ]
    assert plan.words(40.0) == "40 pixels per image"
    assert {run.config.acquisition.budget_in for run in plan.runs} == {"pixels_per_image"}
