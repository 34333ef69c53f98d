"""What a config alone cannot tell: files that it names, and what its images allow."""

import pytest

from cbda_jax.data import prepare
from cbda_jax.errors import InputError
from cbda_jax.methods import get_method
from cbda_jax.run import checks


def _message(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("budget", [0, -0.1, 1.01])
def test_region_budget_out_of_range(budget):
    with pytest.raises(InputError) as error:
        checks.check_budget(budget, get_method("ripu"), [(96, 192)])
    assert f"acquisition.budget: {budget:g} found, expected above 0 and at most 1," in _message(
        error
    )


def test_pixel_budget_above_what_the_blocking_radius_reaches():
    with pytest.raises(InputError) as error:
        checks.check_budget(0.05, get_method("ripu_pixel"), [(1024, 2048)])
    # 32 x 63 pixels, 33 apart.
    assert "at most 0.0009613, all that picks of unit pixel and radius 32 reach" in _message(error)


def test_of_several_sizes_the_one_in_which_picks_reach_least_counts():
    method = get_method("ripu_pixel")
    sizes = [(33, 33), (64, 66), (330, 330)]
    # One pick of 1,089 pixels; 4 of 4,224; 100 of 108,900.
    checks.check_budget(1 / 1089, method, sizes[::2])
    with pytest.raises(InputError, match=r"radius 32 reach in an image of 330 x 330"):
        checks.check_budget(1 / 1000, method, sizes[1:])
    with pytest.raises(InputError, match=r"radius 32 reach in an image of 33 x 33"):
        checks.check_budget(1 / 1000, method, [*sizes[::-1], sizes[0]])


def test_a_budget_that_may_not_be_spent_is_noted(capsys):
    checks.check_budget(0.5, get_method("ripu"), [(96, 192)])
    assert "note: acquisition.budget of 0.5 is above 0.36" in capsys.readouterr().err
    checks.check_budget(0.36, get_method("ripu"), [(96, 192)])
    assert not capsys.readouterr().err


def test_a_folder_that_is_no_run_is_no_weights(tmp_path):
    with pytest.raises(InputError) as error:
        checks.check_pretrained(str(tmp_path))
    assert f"{tmp_path} is a folder without checkpoints/" in _message(error)


def test_missing_weights_name_the_file(tmp_path):
    with pytest.raises(InputError) as error:
        checks.check_pretrained(str(tmp_path / "none.safetensors"))
    assert str(tmp_path / "none.safetensors") in _message(error)


SYNTHETIC = {
    "height": 32,
    "width": 64,
    **dict.fromkeys(("source_train", "target_train", "target_val", "target_test"), 1),
}


@pytest.mark.parametrize("split", ["source_train", "target_val", "target_test"])
def test_a_split_is_known_before_it_is_prepared_and_after(tmp_path, split):
    location = {**SYNTHETIC, "dataset": "synthetic_city", "data_dir": tmp_path}
    checks.check_data_set("data.test", f"synthetic_city/{split}", **location)
    assert not list(tmp_path.iterdir())
    prepare.prepare_builder(prepare.create_builder(**location))
    checks.check_data_set("data.test", f"synthetic_city/{split}", **location)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_split_that_is_not_there_is_told_with_its_field(tmp_path, prepared):
    location = {**SYNTHETIC, "dataset": "synthetic_city", "data_dir": tmp_path}
    if prepared:
        prepare.prepare_builder(prepare.create_builder(**location))
    with pytest.raises(InputError) as error:
        checks.check_data_set("data.test", "synthetic_city/target_tset", **location)
    text = _message(error)
    assert text.startswith("data.test: 'synthetic_city/target_tset' found, expected one of the ")
    assert "source_train" in text
    assert text.endswith("; did you mean 'target_test'?")
    # A name alone means "train", which this data set does not have.
    with pytest.raises(InputError, match=r"data\.val: 'synthetic_city' found, expected one of the"):
        checks.check_data_set("data.val", "synthetic_city", **location)


def _sample(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_found_but_not_read(tmp_path):
    root = tmp_path / "cityscapes"
    for split in ("train", "val"):
        for kind, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            _sample(root, [f"{kind}/{split}/ulm/ulm_000000_000019_{ending}.png"])
    location = {"data_dir": tmp_path / "prepared", "root": root, "size": (32, 64)}
    location["dataset"] = "cityscapes"
    for split in ("train", "val"):
        checks.check_data_set("data.val", f"cityscapes/{split}", **location)
    with pytest.raises(InputError, match=r"data.test: 'cityscapes/test' found, expected .* train"):
        checks.check_data_set("data.test", "cityscapes/test", **location)
    assert not (tmp_path / "prepared").exists()
    next(root.glob("gtFine/val/ulm/*")).unlink()
    with pytest.raises(InputError) as error:
        checks.check_data_set("data.val", "cityscapes/val", **location)
    assert _message(error).startswith("data.val: 'cityscapes/val' found, but ")
    assert str(root / "gtFine" / "val") in _message(error)


def test_a_data_set_without_a_folder_of_its_files(tmp_path):
    location = {"dataset": "gtav", "data_dir": tmp_path, "size": (32, 64)}
    with pytest.raises(InputError) as error:
        checks.check_data_set("data.source", "gtav", **location)
    text = _message(error)
    assert text.startswith(f"data.source: 'gtav' found, but {tmp_path / 'gtav'}")
    assert text.endswith("set data.root")


def test_a_list_of_images_that_is_not_there(tmp_path):
    location = {"data_dir": tmp_path, "root": tmp_path, "files": tmp_path / "none.txt"}
    location["dataset"] = "gtav"
    with pytest.raises(InputError) as error:
        checks.check_data_set("data.source", "gtav", **location)
    assert str(tmp_path / "none.txt") in _message(error)
