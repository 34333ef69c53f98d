"""What a user can get wrong in a config or a workdir: one line that says what, where and how."""

import functools

import jax
import processes
import pytest
import scenes
import waiting

from cbda_jax import sharding
from cbda_jax.errors import InputError
from cbda_jax.methods import Method
from cbda_jax.run import assembly, experiment, workdir
from configs import gta2city, synthetic


def _config(argument=None, **changes):
    config = synthetic.get_config(argument)
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


def _message(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_unknown_method_is_suggested():
    with pytest.raises(InputError) as error:
        assembly.resolve_method(_config("method=cdba"))
    assert "'cdba' found, expected one of source_only" in _message(error)
    assert "did you mean 'cbda'?" in _message(error)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("class_balance", "exps", "did you mean 'exp'?"),
        ("score", "entrpy", "did you mean 'entropy'?"),
        ("unit", "regions", "expected one of region, pixel; did you mean 'region'?"),
        ("allocation", "local", "expected one of per_image, global"),
    ],
)
def test_unknown_choices_are_suggested(field, value, expected):
    with pytest.raises(InputError) as error:
        assembly.resolve_method(_config(**{f"acquisition__{field}": value}))
    assert f"acquisition.{field}: '{value}' found" in _message(error)
    assert expected in _message(error)


def test_a_field_set_by_hand_overrides_the_method():
    method = assembly.resolve_method(_config("method=ripu", acquisition__allocation="global"))
    assert method == Method(allocation="global")


@pytest.mark.parametrize(("method", "pretrained"), [("ripu", ""), ("source_only", "some.pth")])
def test_source_free_needs_weights_and_a_target(method, pretrained):
    config = _config(f"method={method}", pretrained=pretrained, data__source_free=True)
    with pytest.raises(InputError) as error:
        assembly.resolve_method(config)
    assert f"data.source_free: True found with method {method} and pretrained" in _message(error)


def test_source_free_rests_the_source():
    config = _config("method=cbda", pretrained="runs/source", data__source_free=True)
    assert not assembly.resolve_method(config).source


def test_small_rounds_are_not_for_people():
    config = _config("method=cb", acquisition__sub_rounds=4, annotation__oracle="people")
    with pytest.raises(InputError) as error:
        assembly.resolve_method(config)
    assert (
        "acquisition.sub_rounds: 4 found with annotation.oracle 'people', expected 1: each small "
        "round needs the answers to the one before at once"
    ) in _message(error)
    config.annotation.oracle = "noisy"
    assert assembly.resolve_method(config).sub_rounds == 4


def test_class_frequencies_of_the_source_need_a_source():
    config = _config(
        "method=cb",
        acquisition__class_evidence="prior_corrected",
        pretrained="runs/source",
        data__source_free=True,
    )
    with pytest.raises(InputError) as error:
        assembly.resolve_method(config)
    assert "acquisition.class_evidence: 'prior_corrected' found with a method" in _message(error)


def test_missing_data_names_the_folder(tmp_path):
    config = gta2city.get_config()
    config.data.dir, config.data.root = str(tmp_path / "prepared"), str(tmp_path / "nowhere")
    with pytest.raises(InputError) as error:
        assembly.open_records(config, "target")
    assert str(tmp_path / "nowhere" / "cityscapes") in _message(error)
    assert not any((tmp_path / "prepared").glob("cityscapes/*/*/*.array_record*"))


def test_a_folder_of_something_else_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"not empty and holds no run \(no config.json\)"):
        experiment.run(_config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("mode", ["evaluate", "acquire"])
def test_a_mistyped_workdir_is_not_made(mode, tmp_path):
    with pytest.raises(InputError, match="no run found"):
        experiment.run(_config(), tmp_path / "typo", mode=mode)
    assert not (tmp_path / "typo").exists()


def test_a_workdir_without_room_or_permission(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        workdir.claim(tmp_path / "file" / "run", _config(), write=True)
    assert f"cannot write {tmp_path / 'file' / 'run' / 'config.json'}" in _message(error)


def _broken(*_):
    raise RuntimeError("no server")


BROKEN = f"{__name__}:_broken"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "data.test",
            "synthetic_city/target_tst",
            "data.test: 'synthetic_city/target_tst' found, expected one of the splits",
        ),
        ("data.val", "synthetic_city/vla", "data.val: 'synthetic_city/vla' found, expected one of"),
        (
            "training.accumulate",
            3,
            "training.accumulate: 3 found with data.source_batch 4 on ",
        ),
        (
            "acquisition.class_balance",
            BROKEN,
            f"{BROKEN!r} found, which fails with RuntimeError: no server, expected 19 weights",
        ),
        (
            "annotation.oracle",
            BROKEN,
            f"{BROKEN!r} found, which fails with RuntimeError: no server, expected an oracle",
        ),
        ("checkpoint.dir", "{here}/file/checkpoints", "expected a folder that can be written to"),
        ("checkpoint.dir", "nowhere://bucket/run", "expected a folder, gs://BUCKET/... or s3://"),
    ],
)
def test_what_would_fail_hours_later_fails_before_anything_is_written(
    field, value, said, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    one = functools.partial(sharding.make_mesh, jax.devices()[:1])
    monkeypatch.setattr(sharding, "make_mesh", one)
    config = _config("method=cbda,steps=20", acquisition__rounds=(2, 4, 6))
    config.data.dir = str(tmp_path / "data")
    config.data.source_size = config.data.target_size = (32, 64)
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 2
    value = value.format(here=tmp_path) if isinstance(value, str) else value
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as error:
        experiment.run(config, tmp_path / "run")
    assert said in _message(error)
    assert not [*(tmp_path / "run").glob("[!.]*")]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--config=configs/synthetic.py:metod=ripu", "did you mean 'method'?"),
        (
            "--config=configs/synthetic.py:budget=much",
            "budget 'much' found, expected one such as 0.05, 5%",
        ),
        ("--workdir=az://bucket/run", "expected a folder, gs://BUCKET/... or s3://BUCKET/..."),
        ("--config=configs/none.py", "--config: configs/none.py not found, expected a file or"),
        ("--config.trainin.steps=3", 'Did you mean "training"'),
        ("--config.training.stps=3", 'Did you mean "steps"'),
    ],
)
def test_mistyped_flags_are_suggested(flag, expected):
    flags = [flag] if flag.startswith("--config=") else ["--config=configs/synthetic.py", flag]
    with processes.Fork(scenes.main, flags) as process:
        done = waiting.finish(process)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert expected in line


@pytest.mark.parametrize("mode", ["evaluate", "predict"])
def test_to_wait_where_nothing_is_asked(mode):
    flags = ["--config=configs/synthetic.py", "--wait", f"--mode={mode}"]
    with processes.Fork(scenes.main, flags) as process:
        done = waiting.finish(process)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(
        f"error: --wait: found with --mode={mode}, expected with --mode=train or"
    )
