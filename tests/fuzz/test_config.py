import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.config import ARGUMENTS
from configs import gta2city, synthetic, synthia2city

FUZZ = settings.get_profile("fuzz")
NAMES = st.sampled_from([*ARGUMENTS, "metod", "acquisition", "training.steps", ""])
VALUES = st.sampled_from(
    ["", "0", "-1", "1e3", "nan", "inf", "None", "ripu", "9" * 5000, "=", "é\n"]
)
PARTS = st.builds("{}={}".format, NAMES | st.text(max_size=8), VALUES | st.text(max_size=8))


@pytest.mark.parametrize("experiment", [synthetic, gta2city, synthia2city])
@FUZZ
@given(argument=st.text(max_size=40) | st.lists(PARTS, max_size=4).map(",".join))
def test_arguments_are_taken_or_refused_in_one_line(experiment, argument):
    default = experiment.get_config().to_dict()
    try:
        config = experiment.get_config(argument)
    except ValueError as error:
        kind, message = type(error), str(error)
    else:
        kind, message = ValueError, "taken"
        assert config.to_dict().keys() == default.keys()
        for name, path in ARGUMENTS.items():
            section, _, field = path.rpartition(".")
            old, new = default, config.to_dict()
            if section:
                old, new = default[section], config.to_dict()[section]
            # Repeated names: the last value counts, so only what is not named must be as it was.
            if f"{name}=" not in argument:
                assert new[field] == old[field]
    assert kind is ValueError
    assert len(message.splitlines()) == 1
