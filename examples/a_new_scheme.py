"""A class-balance scheme of one's own: a function of counts, in one file.

    python examples/a_new_scheme.py

A run uses it, and sets its parameters, without another line of code:

    PYTHONPATH=examples python -m cbda_jax.main --config=configs/synthetic.py:method=cb \
        --config.acquisition.class_balance=a_new_scheme:tempered \
        --config.acquisition.class_balance_options=temperature=0.5 --workdir=/tmp/tempered
"""

import numpy as np

from cbda_jax import acquisition


@acquisition.register_scheme("tempered")
def tempered(counts: np.ndarray, temperature: float = 0.3) -> np.ndarray:
    """e^((1 - p) / temperature), p the frequency of a class (DAFormer draws its images so)."""
    return np.exp((1 - counts / counts.sum()) / temperature)


def main() -> None:
    """Weighs three classes by it, the third of which has no label yet."""
    counts = np.array([9000, 900, 0])
    for temperature in (0.3, 1.0):
        weights = acquisition.class_weights(counts, "tempered", temperature=temperature)
        print(f"temperature {temperature}: {np.round(weights, 3).tolist()}")


if __name__ == "__main__":
    main()
