import jax
import pytest

from cbda_jax import platform, sharding
from cbda_jax.errors import InputError


def test_the_platform_of_a_mesh_is_that_of_its_devices():
    assert platform.of(sharding.make_mesh(jax.devices("cpu")[:2])) == "cpu"


@pytest.mark.parametrize(
    ("name", "expected"), [("cuda", "gpu"), ("rocm", "gpu"), ("gpu", "gpu"), ("tpu", "tpu")]
)
def test_every_platform_has_one_name(name, expected):
    assert platform.resolve(name) == expected


def test_none_is_where_the_first_device_is():
    assert platform.resolve(None) == jax.devices()[0].platform == platform.resolve()


def test_an_unknown_platform_is_one_line():
    with pytest.raises(InputError, match=r"^platform: 'abacus' found, expected one of cpu, gpu"):
        platform.resolve("abacus")
