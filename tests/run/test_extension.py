"""What a run that has begun may become, and what is left of a budget for its other rounds."""

import json

import numpy as np
import pytest

from cbda_jax.acquisition import Budget
from cbda_jax.errors import InputError
from cbda_jax.methods import METHODS
from cbda_jax.run import budget as budgets
from cbda_jax.run import extension, workdir
from cbda_jax.training import poly_schedule
from configs import synthetic

LARGE, SMALL = (12, 16), (6, 8)
SIZES = [LARGE, SMALL, LARGE]
RIPU, DA = METHODS["ripu"], METHODS["da"]


def _config(**changes):
    config = synthetic.get_config("method=ripu")
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


def _longer(steps=2000, **changes):
    return _config(training__steps=steps, training__schedule_steps=steps, **changes)


ROUNDS = (400, 480, 560, 640, 720)


@pytest.mark.parametrize(
    ("config", "step", "held", "finished"),
    [
        (_longer(), 1000, ROUNDS, True),
        (_longer(acquisition__rounds=(*ROUNDS, 1000, 1500)), 1000, ROUNDS, True),
        (_longer(acquisition__rounds=(400, 500)), 450, (400,), False),
        # Asked for early.
        (_longer(acquisition__rounds=(400, 900)), 450, (400, 900), False),
        (_config(training__steps=800), 800, ROUNDS, False),
        (_config(training__steps=2000, training__schedule_power=0.0), 1000, ROUNDS, True),
    ],
)
def test_what_goes_on_from_where_the_run_is(config, step, held, finished):
    extension.check(config, RIPU, step=step, held=held, finished=finished)


@pytest.mark.parametrize(
    ("config", "step", "held", "finished", "said"),
    [
        (_config(), 1000, ROUNDS, True, "training.steps: 1000 found, expected more than 1000, as"),
        (_config(training__steps=750), 800, ROUNDS, False, "expected 800 or more: so many were"),
        (
            _longer(acquisition__rounds=(400, 500, 560)),
            560,
            (400, 480),
            False,
            "acquisition.rounds: (400, 500, 560) found, expected (400, 480) first",
        ),
        (
            _longer(acquisition__rounds=(*ROUNDS, 900)),
            1000,
            ROUNDS,
            True,
            "acquisition.rounds: a round before step 900 found, expected step 1000 or later",
        ),
        (_longer(acquisition__rounds=ROUNDS[:3]), 1000, ROUNDS, True, f"expected {ROUNDS} first"),
        (
            _config(training__steps=2000),
            1000,
            ROUNDS,
            True,
            "training.schedule_steps: 1000 found, expected 2000 or so",
        ),
        (
            _config(training__steps=2000, training__restart_each_round=True),
            1000,
            ROUNDS,
            True,
            "the learning rate is 0 from step 1720 on",
        ),
    ],
)
def test_what_does_not(config, step, held, finished, said):
    with pytest.raises(InputError) as error:
        extension.check(config, RIPU, step=step, held=held, finished=finished)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("method", "cbda"),
        ("network", "unet"),
        ("data.target", "synthetic_city/target_val"),
        ("acquisition.unit", "pixel"),
        ("acquisition.radius", 2),
        ("acquisition.budget_in", "hours"),
        ("annotation.oracle", "people"),
        ("training.learning_rate", 1.0),
    ],
)
def test_what_was_done_stays_as_it_was(field, value, tmp_path):
    workdir.claim(tmp_path, _config(), write=True)
    config = _longer()
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as error:
        extension.find(tmp_path, config)
    assert str(error.value).startswith(f"--extend: {field}: ")
    assert "training.steps" not in str(error.value)


def test_there_has_to_be_a_run(tmp_path):
    with pytest.raises(InputError, match="no run found"):
        extension.find(tmp_path / "typo", _config())
    assert not (tmp_path / "typo").exists()


def test_an_extension_is_recorded_whole_and_changes_nothing_else(tmp_path):
    begun = _config(data__threads=3)
    workdir.claim(tmp_path, begun, write=True)
    before = json.loads((tmp_path / "config.json").read_text())
    config = _longer(acquisition__rounds=(*ROUNDS, 1500), evaluation__flip=False, data__threads=7)
    extended = extension.Extension(extension.find(tmp_path, config), 1000, 5)
    extension.record(tmp_path, extended)
    # The same config is that of the run now, with the flag and without.
    assert extension.find(tmp_path, config) == ()
    workdir.claim(tmp_path, config, write=False)
    with pytest.raises(InputError, match=r"training.steps: 2000 there, 1000 now"):
        workdir.claim(tmp_path, begun, write=False)
    (entry,) = workdir.read_history(tmp_path)
    assert (entry["step"], entry["rounds"]) == (1000, 5)
    assert entry["changed"]["acquisition.rounds"] == [[*ROUNDS], [*ROUNDS, 1500]]
    now = json.loads((tmp_path / "config.json").read_text())
    assert now.pop("history") == [entry]
    # What it was before follows from the history.
    assert {**now, **{name: old for name, (old, _) in entry["changed"].items()}} == before
    assert workdir.read_config(tmp_path).training.steps == 2000


def test_results_of_before_are_put_aside_once(tmp_path):
    workdir.claim(tmp_path, _config(), write=True)
    workdir.write_json(tmp_path / "result.json", {"table": "first"})
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("first")
    assert workdir.put_aside(tmp_path) is None
    assert workdir.read_result(tmp_path) == {"table": "first"}
    for steps, done in ((2000, 1000), (3000, 2000)):
        extended = extension.Extension(extension.find(tmp_path, _longer(steps)), done, 5)
        extension.record(tmp_path, extended)
        # Killed here, it has not finished.
        assert workdir.read_result(tmp_path) is None
        number = len(workdir.read_history(tmp_path)) - 1
        if number:
            # Killed between the two: the report was moved already.
            (tmp_path / "report" / "index.html").rename(tmp_path / "report" / "index_1.html")
        assert workdir.put_aside(tmp_path) == tmp_path / f"result_{number}.json"
        assert workdir.put_aside(tmp_path) is None
        history = workdir.read_history(tmp_path)
        workdir.write_json(tmp_path / "result.json", {"table": "next", "history": history})
        (tmp_path / "report" / "index.html").write_text("next")
        assert workdir.read_result(tmp_path) is not None
    assert json.loads((tmp_path / "result_0.json").read_text()) == {"table": "first"}
    assert (tmp_path / "report" / "index_0.html").read_text() == "first"
    assert (tmp_path / "report" / "index_1.html").read_text() == "next"


def test_the_history_says_what_holds(tmp_path):
    workdir.claim(tmp_path, _config(), write=True)
    assert extension.schedules([]) == ()
    assert extension.settled([]) == 0
    wider = {"step": 800, "rounds": 5, "changed": {"acquisition.budget": [0.05, 0.1]}}
    longer = {"step": 1000, "rounds": 6, "changed": {"training.schedule_steps": [1000, 2000]}}
    assert extension.schedules([wider, longer]) == ((1000, 1000),)
    # More steps alone leave the shares of the rounds as they are.
    assert extension.settled([wider, longer]) == 5


# ---------------------------------------------------------------------- budgets


def _asked(method, budget, rounds, spent):
    numbers = range(spent.rounds + 1, rounds + 1)
    return [budgets.request(method, budget, n, rounds, SIZES, spent) for n in numbers]


def test_the_rest_of_pixels_is_shared_by_the_rounds_to_come():
    # A tenth of 192, 48 pixels in squares of 9: 2.13 and 0.53 picks, of which 1 and 0 are spent.
    spent = budgets.Spent(2, {LARGE: 2})
    budget = Budget(0.1)
    one, two = _asked(RIPU, budget, 4, spent)
    assert one.shares == two.shares
    assert [one.shares[size].picks for size in (LARGE, SMALL)] == [1, 1]
    # All images together: 4.8 - 2 picks in two rounds, 1.24 a round where an image is large.
    spent = budgets.Spent(2, {LARGE: 1, SMALL: 1})
    one, two = _asked(DA, Budget(0.5), 4, spent)
    whole = 0.5 * sum(np.prod(size) for size in SIZES) / 9
    expected = int(np.ceil(0.5 * 192 / 9 * (1 - 2 / whole) / 2))
    assert one.shares[LARGE].picks == two.shares[LARGE].picks == expected


def test_answers_are_never_exceeded():
    # 130 / 9 picks: 14; 5 are spent, and 3, 3, 3 are left.
    budget, spent = Budget(130, "answers_in_all", 9), budgets.Spent(2, {LARGE: 4, SMALL: 1})
    assert [one.picks for one in _asked(DA, budget, 5, spent)] == [3, 3, 3]
    # Of 6, 1 and 6 the large have had 2 each, the small one all.
    shares = [one.shares for one in _asked(RIPU, budget, 5, spent)]
    assert [share[LARGE].picks for share in shares] == [1, 1, 2]
    assert [share[SMALL].picks for share in shares] == [0, 0, 0]


def test_nothing_spent_is_as_ever():
    for method in (RIPU, DA):
        for budget in (Budget(0.1), Budget(130, "answers_in_all", 9)):
            asked = _asked(method, budget, 3, budgets.NOTHING)
            assert asked == [budgets.request(method, budget, n, 3, SIZES) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("budget", "taken"), [(Budget(0.05), "0.125"), (Budget(40, "answers_in_all", 9), "54 answers")]
)
def test_a_budget_that_is_spent_is_told(budget, taken):
    spent = budgets.Spent(2, {LARGE: 5, SMALL: 1})
    with pytest.raises(InputError) as error:
        budgets.check_rest(DA, budget, 3, SIZES, spent)
    assert f"of which rounds 1 to 2 took {taken}, so that nothing is left for round 3" in str(
        error.value
    )
    # No round is left that could want some.
    budgets.check_rest(DA, budget, 2, SIZES, spent)


# --------------------------------------------------------------------- schedule


def test_a_schedule_holds_from_its_extension_on():
    def make(steps, earlier=()):
        return poly_schedule(0.1, power=0.9, steps=steps, warmup=5, earlier=earlier)

    first, second, third = make(100), make(200), make(400)
    found = make(400, ((100, 100), (150, 200)))
    for step in (0, 3, 50, 99):
        assert found(step) == first(step)
    for step in (100, 149):
        assert found(step) == second(step)
    for step in (150, 399):
        assert found(step) == third(step) > 0
