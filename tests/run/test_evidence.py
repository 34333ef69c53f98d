"""What is known of classes before a round, used in its parts, against the slow loop."""

import dataclasses

import numpy as np
import pytest
from in_parts import (
    COUNT,
    IDS,
    NATIVE,
    PARTS,
    SOURCE,
    Pool,
    acquirer_of,
    hold,
    picks_of,
    rounds_in,
)
from sequential import greedy

from cbda_jax.acquisition import (
    Balance,
    Scoring,
    log_ratio,
    source_prior,
    target_prior,
)
from cbda_jax.annotation import GroundTruthOracle
from cbda_jax.methods import Method

EVIDENCE = {
    "by score, void": Method(
        Scoring(class_evidence="corrected_by_score", ties="balanced_uncertainty"),
        Balance("inverse_power", avoid_void=True),
        allocation="global",
    ),
    "prior": Method(Scoring(class_evidence="prior_corrected"), Balance("inverse_power")),
    "nearest": Method(
        Scoring(class_evidence="nearest"), Balance("inverse_power"), allocation="global"
    ),
    "flip": Method(allocation="global", flip=True),
}
EVIDENCE = {name: dataclasses.replace(m, sub_rounds=PARTS) for name, m in EVIDENCE.items()}


def in_turn(rounds, method, balances):
    """The picks of two rounds: part after part, by the slow loop, as the balances say."""
    acquirer, state = acquirer_of(method.scoring, flip=method.flip)
    found, target = [], rounds._target()
    taken = [[] for _ in range(COUNT)]
    for number in (1, 2):
        found.append([])
        for part, balance in enumerate(balances[number - 1]):
            chosen = []
            for index in range(COUNT):
                maps = acquirer.maps(state, target, index, number=number, balance=balance)
                blocked = np.zeros(NATIVE, bool)
                for r, c in taken[index]:
                    blocked[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = True
                turn = index % PARTS
                limit = (12 * (part + 1) + turn) // PARTS - (12 * part + turn) // PARTS
                limit = limit if method.allocation == "per_image" else NATIVE[0] * NATIVE[1]
                sequence, _ = greedy(maps.score, limit, 2, blocked)
                chosen += [(-s, index, k, r, c) for k, (r, c, s) in enumerate(sequence)]
            for _, index, _, r, c in sorted(sorted(chosen)[:20], key=lambda pick: pick[1:3]):
                taken[index].append((r, c))
                found[-1].append((IDS[index], r, c))
    return found


def answered_until(log, number, part):
    """The answers to all that was asked before a part of a round."""
    truth, known = GroundTruthOracle(Pool(), 19), []
    for queries in log[:number]:
        count = len(queries) if queries.round < number else 20 * part
        names = ("image", "row", "col", "score", "predicted")
        own = {name: getattr(queries, name)[:count] for name in names}
        known.append(truth.ask(dataclasses.replace(queries, **own)))
    return known


def slow_prototypes(method, target, known):
    """Of every answered centre the softmax at the nearest pixel of the logits."""
    acquirer, state = acquirer_of(method.scoring, devices=1)
    logits = {
        chunk[0]: np.asarray(found)[0]
        for chunk, found in acquirer.logits(state, target).batches(NATIVE, frozenset(range(COUNT)))
    }
    sums, number = 10 * np.eye(19), np.full(19, 10)
    for answers in known:
        queries = answers.queries
        for k, answer in enumerate(answers.patches[:, 1, 1]):
            if answer < 19:
                image = logits[IDS.index(queries.image_ids[queries.image[k]])]
                row = int(np.floor(queries.row[k] * 11 / 35 + 0.5))
                col = int(np.floor(queries.col[k] * 19 / 59 + 0.5))
                powers = np.exp(image[row, col].astype(np.float64))
                sums[answer] += np.round(powers / powers.sum() * 2**14) / 2**14
                number[answer] += 1
    return (sums / number[:, None]).astype(np.float32)


@pytest.mark.parametrize("name", EVIDENCE)
def test_what_is_known_of_a_class_before_it_is_asked_about(tmp_path, name):
    method = EVIDENCE[name]
    rounds = rounds_in(tmp_path, method)
    target = rounds._target()
    hold(rounds, tmp_path)
    log = rounds.log.rounds
    ratio = None
    if name == "prior":
        acquirer, state = acquirer_of(method.scoring, devices=1)
        posterior = acquirer.logits(state, target).sample()
        source = source_prior(SOURCE)
        ratio = log_ratio(np.asarray(target_prior(posterior, source)), source)
        assert posterior.shape == (COUNT * 12 * 20, 19)
        assert np.abs(ratio).max() > 0.1

    def balance(number, part):
        known = answered_until(log, number, part)
        found = rounds._experience.balance(number, known)._replace(log_ratio=ratio)
        if name != "nearest":
            return found
        return found._replace(prototypes=slow_prototypes(method, target, known))

    balances = [[balance(number, part) for part in range(PARTS)] for number in (1, 2)]
    expected = in_turn(rounds_in(tmp_path / "slow", method), method, balances)
    assert [picks_of(queries) for queries in log] == expected
    if name == "by score, void":
        assert balances[0][1].void.max() > 0.1
        assert (balances[1][2].weights[0] != balances[1][2].weights[1]).any()
    # As one round each, the same is known, and less is used.
    plain = rounds_in(tmp_path / "plain", dataclasses.replace(method, sub_rounds=1))
    hold(plain, tmp_path / "plain")
    same = set(picks_of(plain.log.rounds[0])) == set(picks_of(log[0]))
    assert same == (name == "flip")
