"""What a config alone cannot tell: files that it names, and what its images allow."""

import pytest

from cbda_jax.acquisition import Budget
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
        checks.check_budget(Budget(budget), get_method("ripu"), [(96, 192)])
    assert f"acquisition.budget: {budget:g} found, expected above 0 and at most 1," in _message(
        error
    )


def test_pixel_budget_above_what_the_blocking_radius_reaches():
    with pytest.raises(InputError) as error:
        checks.check_budget(Budget(0.05), get_method("ripu_pixel"), [(1024, 2048)])
    # 32 x 63 pixels, 33 apart.
    assert "at most 0.0009613, all that picks of unit pixel and radius 32 reach" in _message(error)


def test_of_several_sizes_the_one_in_which_picks_reach_least_counts():
    method = get_method("ripu_pixel")
    sizes = [(33, 33), (64, 66), (330, 330)]
    # One pick of 1,089 pixels; 4 of 4,224; 100 of 108,900.
    checks.check_budget(Budget(1 / 1089), method, sizes[::2])
    with pytest.raises(InputError, match=r"radius 32 reach in an image of 330 x 330"):
        checks.check_budget(Budget(1 / 1000), method, sizes[1:])
    with pytest.raises(InputError, match=r"radius 32 reach in an image of 33 x 33"):
        checks.check_budget(Budget(1 / 1000), method, [*sizes[::-1], sizes[0]])


def test_a_budget_that_may_not_be_spent_is_noted(capsys):
    checks.check_budget(Budget(0.5), get_method("ripu"), [(96, 192)])
    assert "note: acquisition.budget of 0.5 is above 0.36" in capsys.readouterr().err
    checks.check_budget(Budget(0.36), get_method("ripu"), [(96, 192)])
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("amount", "unit", "found", "least"),
    [
        # 3 images in 5 rounds, 9 answers a region, 2 seconds an answer.
        (44.9, "answers_per_image", "44.9 answers an image", "45 answers an image"),
        (134, "answers_in_all", "134 answers", "135 answers"),
        (0, "answers_in_all", "0 answers", "135 answers"),
        (0.0749, "hours", "0.0749 hours", "0.075 hours"),
    ],
)
def test_answers_for_a_pick_in_each_image_and_round(amount, unit, found, least):
    sizes = [(96, 192)] * 3
    with pytest.raises(InputError) as error:
        checks.check_budget(Budget(amount, unit, 9), get_method("ripu"), sizes, 5)
    assert _message(error) == (
        f"acquisition.budget: {found} found, expected at least {least}: 5 rounds, 3 images, a pick "
        "or more in each image and round, 9 answers a pick; raise it, hold fewer rounds, or set "
        "acquisition.allocation to global"
    )
    amount = float(least.split()[0])
    checks.check_budget(Budget(amount, unit, 9), get_method("ripu"), sizes, 5)
    # One for all images: a pick in each round.
    one = Budget(45, "answers_in_all", 9)
    checks.check_budget(one, get_method("da"), sizes, 5)
    with pytest.raises(InputError, match=r"45 answers: 5 rounds, .* in each round, 9 .* rounds$"):
        checks.check_budget(one._replace(amount=44), get_method("da"), sizes, 5)


def test_the_smallest_image_gets_a_pick_too():
    sizes, method = [(30, 40), (10, 10)], get_method("ripu")
    # Every thirteenth pick is its.
    checks.check_budget(Budget(26, "answers_in_all"), method, sizes, 2)
    with pytest.raises(InputError, match="25 answers found, expected at least 26 answers"):
        checks.check_budget(Budget(25, "answers_in_all"), method, sizes, 2)


def test_more_answers_than_picks_reach(capsys):
    # 3 x 6 picks, 33 apart, in each of two images.
    sizes, method = [(96, 192)] * 2, get_method("ripu_pixel")
    checks.check_budget(Budget(18, "answers_per_image"), method, sizes)
    assert "0.00098 of all pixels, is above 0.00024" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"19 answers an image found, .* at most 18 answers an"):
        checks.check_budget(Budget(19, "answers_per_image"), method, sizes)
    with pytest.raises(InputError, match=r"1 hours found, .* at most 0\.02 hours"):
        checks.check_budget(Budget(1, "hours"), method, sizes)


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
