"""What a workdir says of its run, and which fields may differ when it goes on."""

import json
import shutil

import pytest

from cbda_jax import config as config_
from cbda_jax.errors import InputError
from cbda_jax.methods import METHODS, changed
from cbda_jax.run import assembly, workdir
from configs import synthetic


def _config(**changes):
    config = synthetic.get_config()
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


@pytest.fixture
def claimed(tmp_path):
    """`claimed(config, ...)`: a workdir that was claimed with this config."""

    def claim(config):
        workdir.claim(tmp_path / "run", config, write=True)
        return tmp_path / "run"

    return claim


# A value other than the default of every field that may change on resume.
OTHER = {
    "compilation_cache": "elsewhere",
    "data.dir": "elsewhere",
    "data.cache": "elsewhere",
    "data.root": "elsewhere",
    "data.threads": 5,
    "checkpoint.every": 77,
    "checkpoint.keep": 7,
    "report.log_every": 77,
    "report.gallery": 0,
    "report.tracker": "mlflow",
    "report.worst": 0,
    "annotation.redundancy": 0.5,
    "annotation.hidden": 0.0,
}
EVALUATED = {
    "data.val": "synthetic_city/target_test",
    "data.test": "synthetic_city/target_val",
    "evaluation.every": 77,
    "evaluation.flip": False,
    "evaluation.scales": (0.5, 1.0),
    "evaluation.batch_per_device": 7,
}


def test_the_same_config_is_the_same_run(claimed):
    folder = claimed(_config())
    for mode in ("train", "evaluate", "acquire"):
        workdir.claim(folder, _config(), write=True, mode=mode)


def test_what_no_result_depends_on_may_change(claimed):
    assert OTHER.keys() == {n for n, f in config_.FIELDS.items() if f.change == "resume"}
    folder = claimed(_config())
    workdir.claim(folder, _config(**OTHER), write=True)


def test_evaluation_may_change_where_only_that_is_done(claimed):
    assert EVALUATED.keys() == {n for n, f in config_.FIELDS.items() if f.change == "evaluate"}
    folder = claimed(_config())
    workdir.claim(folder, _config(**EVALUATED, **OTHER), write=False, mode="evaluate")
    for mode in ("train", "acquire"):
        for name, value in EVALUATED.items():
            with pytest.raises(InputError, match=rf"another config \({name}: .* there, .* now\)"):
                workdir.claim(folder, _config(**{name: value}), write=False, mode=mode)


@pytest.mark.parametrize("mode", ["train", "evaluate", "acquire"])
def test_what_results_depend_on_may_not(claimed, mode):
    folder = claimed(_config())
    with pytest.raises(InputError) as error:
        workdir.claim(folder, _config(seed=1, data__flip=False), write=False, mode=mode)
    assert "(data.flip: True there, False now; seed: 0 there, 1 now)" in str(error.value)
    with pytest.raises(InputError, match=r"acquisition\.radius: None there, 3 now"):
        workdir.claim(folder, _config(acquisition__radius=3), write=False, mode=mode)


def test_a_run_of_before_a_field_was_known_has_its_default(claimed):
    folder = claimed(_config())
    path = folder / "config.json"
    before = json.loads(path.read_text())
    for name in ("training.ema", "data.source_size", "acquisition.ties", "contents"):
        del before[name]
    path.write_text(json.dumps(before))
    workdir.claim(folder, _config(), write=True)
    with pytest.raises(InputError, match=r"\(training.ema: 0.0 there, 0.9 now\)"):
        workdir.claim(folder, _config(training__ema=0.9), write=True)


def test_a_method_goes_on_as_it_began_though_its_defaults_are_others_now(claimed, monkeypatch):
    began = METHODS["cbda"]
    folder = claimed(_config(method="cbda", acquisition__radius=2))
    path = folder / "config.json"
    recorded = json.loads(path.read_text())
    # A field that was there then, and one that was not.
    del recorded["defaults"]["impurity_floor"]
    recorded["defaults"]["gone"] = 3
    path.write_text(json.dumps(recorded))
    now = changed(began, {"ties": "random", "weight_ratio": 3, "image_cap": 4, "radius": 3})
    monkeypatch.setitem(METHODS, "cbda", now)
    config = workdir.as_begun(folder, _config(method="cbda", acquisition__radius=2))
    assert assembly.resolve_method(config) == changed(began, {"radius": 2})
    workdir.claim(folder, config, write=True)
    assert assembly.resolve_method(workdir.read_config(folder)) == changed(began, {"radius": 2})
    # Said by hand, it is the same; something else is refused.
    same = {"method": "cbda", "acquisition__radius": 2}
    workdir.claim(folder, _config(**same, acquisition__ties=began.scoring.ties), write=True)
    with pytest.raises(InputError, match=r"\(acquisition\.ties: None there, 'random' now\)"):
        workdir.claim(folder, _config(**same, acquisition__ties="random"), write=True)
    assert assembly.resolve_method(workdir.as_begun(folder / "new", _config(method="cbda"))) == now


def test_a_run_of_before_cbda_was_what_it_is_goes_on_as_it_was(claimed):
    folder = claimed(_config(method="cbda"))
    path = folder / "config.json"
    before = json.loads(path.read_text())
    del before["defaults"]
    path.write_text(json.dumps(before))
    config = workdir.as_begun(folder, _config(method="cbda"))
    assert assembly.resolve_method(config) == METHODS["cbda_predicted"]
    workdir.claim(folder, config, write=True)
    # What differs in the method's name is told as ever.
    assert workdir.as_begun(folder, _config(method="ripu")).acquisition.ties is None
    with pytest.raises(InputError, match=r"\(method: 'cbda' there, 'ripu' now\)"):
        workdir.claim(folder, workdir.as_begun(folder, _config(method="ripu")), write=True)


def test_a_field_that_is_gone_is_told(claimed):
    folder = claimed(_config())
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training.gone": 3}))
    with pytest.raises(InputError, match=r"\(training.gone: 3 there, None now\)"):
        workdir.claim(folder, _config(), write=True)


@pytest.mark.parametrize("content", ["", "{", "3", "null", '["a"]'])
def test_a_config_that_is_damaged_is_told(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError) as error:
        workdir.claim(tmp_path, _config(), write=False)
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: not valid JSON")


# ------------------------------------------------------------------- moved files


@pytest.mark.parametrize("field", ["pretrained", "data.source_files"])
def test_a_file_may_move_and_not_change(claimed, tmp_path, field):
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    first.write_bytes(b"weights")
    folder = claimed(_config(**{field: str(first)}))
    first.rename(second)
    # Where it was, it need not be any more.
    workdir.claim(folder, _config(**{field: str(first)}), write=True)
    workdir.claim(folder, _config(**{field: str(second)}), write=True)
    second.write_bytes(b"others")
    for found in (str(second), str(tmp_path / "none"), ""):
        with pytest.raises(InputError) as error:
            workdir.claim(folder, _config(**{field: found}), write=True)
        assert f"({field}: {str(first)!r} there, {found!r} now)" in str(error.value)


def test_two_files_that_are_gone_are_not_the_same(claimed, tmp_path):
    folder = claimed(_config(pretrained=str(tmp_path / "none")))
    with pytest.raises(InputError, match="pretrained: "):
        workdir.claim(folder, _config(pretrained=str(tmp_path / "neither")), write=True)


def test_a_run_that_was_started_from_may_move(claimed, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for step in ("8", "16", "corrupt-20"):
        (first / "checkpoints" / step / "manifest").mkdir(parents=True)
        (first / "checkpoints" / step / "manifest" / "metadata").write_text(f"of {step}")
    folder = claimed(_config(pretrained=str(first)))
    shutil.copytree(first, second)
    # The newest counts.
    (second / "checkpoints" / "8" / "manifest" / "metadata").write_text("other")
    workdir.claim(folder, _config(pretrained=str(second)), write=True)
    (second / "checkpoints" / "16" / "manifest" / "metadata").write_text("other")
    with pytest.raises(InputError, match="pretrained: "):
        workdir.claim(folder, _config(pretrained=str(second)), write=True)
