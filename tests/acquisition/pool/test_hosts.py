"""The pool over several processes on this machine, connected as hosts are."""

import numpy as np
import pool_worker
import pytest
import union
from processes import run

from cbda_jax.acquisition import Pool

COUNTS = {"global": None, "quota": np.array([40, 3, 0, 9])}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_hosts_choose_what_one_chooses(processes, tmp_path):
    ended = run(pool_worker.choose, processes, tmp_path, devices=4 // processes)
    assert [process.status for process in ended] == [0] * processes, ended
    hosts = []
    for i in range(processes):
        with np.load(tmp_path / f"{i}.npz") as arrays:
            hosts.append(dict(arrays))

    data = union.candidates(np.random.default_rng(5), 37, 6, levels=9, classes=4)
    for name, counts in COUNTS.items():
        expected = union.best(*data, 60, counts)
        chosen = np.concatenate([host[f"{name}_chosen"] for host in hosts]).tolist()
        assert sorted(map(tuple, chosen)) == expected
        for i, host in enumerate(hosts):
            assert list(map(tuple, host[f"{name}_everyone"].tolist())) == expected
            assert host[f"{name}_taken"] == 60
            assert (host[f"{name}_chosen"][:, 0] % processes == i).all()
        alone = Pool(60, counts=counts)
        union.feed(alone, *data, np.arange(37), 4)
        for host in hosts:
            assert host[f"{name}_truncated"].tolist() == alone.truncated().tolist()
            assert host[f"{name}_threshold"] == hosts[0][f"{name}_threshold"]
