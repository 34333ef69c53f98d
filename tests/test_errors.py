import pytest

from cbda_jax import errors


def test_what_the_user_can_mend_is_a_value_error():
    # Callers who know nothing of the package catch it as what it is.
    assert issubclass(errors.InputError, ValueError)


@pytest.mark.parametrize(
    ("name", "found"), [("impurty", "impurity"), ("entropyy", "entropy"), ("x", None)]
)
def test_the_nearest_name_or_none(name, found):
    known = ("entropy", "impurity", "margin")
    assert errors.nearest(name, known) == found
    end = f"; did you mean {found!r}?" if found else ""
    assert errors.near(name, iter(known)) == end
