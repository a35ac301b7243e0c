"""rc.Sampler against an oracle written from docs/sampling.md, across ranks, resumption and mixtures."""

from __future__ import annotations

import json
import math
import pickle
from itertools import islice

import numpy as np
import pytest
import robocache as rc

MASK = 2**64 - 1


def mix(a: int, b: int) -> int:
    z = (a + (b + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class OraclePermutation:
    def __init__(self, size: int, key: int) -> None:
        self.size = size
        self.columns = max(16, math.isqrt(size))
        self.rows = max(16, -(-size // self.columns))
        self.keys = [divmod(mix(key, r), 2**32)[::-1] for r in range(8)]

    def turn(self, x: int, other: int, key: tuple[int, int], n: int) -> int:
        def fold(z: int) -> int:
            return (z ^ (z >> 32)) & 0xFFFFFFFF

        once = fold((other ^ key[0]) * 0x9E3779B9) ^ key[1]
        return (x + (fold(once * 0xD6E8FEB7) * n >> 32)) % n

    def __call__(self, place: int) -> int:
        while True:
            row, column = divmod(place, self.columns)
            for r in range(0, 8, 2):
                row = self.turn(row, column, self.keys[r], self.rows)
                column = self.turn(column, row, self.keys[r + 1], self.columns)
            place = row * self.columns + column
            if place < self.size:
                return place


def oracle_key(seed: int, purpose: int, a: int, b: int = 0) -> int:
    return mix(mix(mix(seed, purpose), a), b)


def oracle_order(count: int, seed: int, epoch: int, first: int, number: int) -> list[int]:
    order = OraclePermutation(count, oracle_key(seed, 0, epoch))
    return [order(p) for p in range(first, first + number)]


def oracle_mixture(counts, weights, seed, drawn_first, number):
    turns_in_round, given = 2**20, sum(w > 0 for w in weights)
    shares = [0]
    for d in range(len(weights)):
        part = sum(weights[: d + 1]) / sum(weights) * (turns_in_round - given)
        shares.append(sum(w > 0 for w in weights[: d + 1]) + math.floor(part + 0.5))
    out = []
    for drawn in range(drawn_first, drawn_first + number):
        now, place = divmod(drawn, turns_in_round)
        turn = OraclePermutation(turns_in_round, oracle_key(seed, 1, now))(place)
        d = next(d for d in range(len(counts)) if shares[d] <= turn < shares[d + 1])
        number_of_pass, draw = divmod(now * (shares[d + 1] - shares[d]) + turn - shares[d], counts[d])
        out.append(sum(counts[:d]) + OraclePermutation(counts[d], oracle_key(seed, 2, d, number_of_pass))(draw))
    return out


@pytest.mark.parametrize("count", [1, 2, 16, 255, 257, 99_999, 10**9, 2**40 + 1])
def test_the_order_is_what_the_documentation_says(count):
    sampler = rc.Sampler(count, 8, seed=11)
    for epoch, first in ((0, 0), (3, count // 2), (2**40, max(count - 50, 0))):
        number = min(50, count - first)
        got = sampler.read(first, number, epoch=epoch)
        assert got.dtype == np.int64
        assert got.tolist() == oracle_order(count, 11, epoch, first, number)


def test_a_mixture_is_what_the_documentation_says():
    counts, weights = [1000, 7, 0, 50_000], [0.5, 1.0, 0.0, 2.5]
    sampler = rc.Sampler(counts, 8, seed=2**64 - 1, weights=weights, samples_per_epoch=400_000)
    for epoch, first in ((0, 0), (2, 248_500), (5, 399_900)):  # the second crosses the end of a round
        want = oracle_mixture(counts, weights, 2**64 - 1, epoch * 400_000 + first, 100)
        assert sampler.read(first, 100, epoch=epoch).tolist() == want


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_all_ranks_together_have_every_sample_once(world_size):
    ranks = [rc.Sampler(1003, 64, seed=1, rank=r, world_size=world_size) for r in range(world_size)]
    for epoch in range(2):
        batches = [list(s) for s in ranks]
        assert {len(b) for b in batches} == {16}
        in_order = np.concatenate([part for parts in zip(*batches, strict=True) for part in parts])
        assert in_order.tolist() == ranks[0].read(0, 1003, epoch=epoch).tolist()
        assert sorted(in_order.tolist()) == list(range(1003))


@pytest.mark.parametrize("weights", [None, [1, 3]])
def test_goes_on_with_other_ranks_and_another_batch_size(weights):
    counts = [300, 703]
    whole = [s for epoch in range(3) for s in rc.Sampler(counts, 1, seed=4, weights=weights).read(0, 1003, epoch=epoch)]
    seen: list[int] = []
    state = None
    for batches, world_size, batch_size in ((5, 1, 64), (7, 2, 64), (20, 4, 32), (100, 3, 10)):
        ranks = [
            rc.Sampler(counts, batch_size, seed=4, weights=weights, rank=r, world_size=world_size)
            for r in range(world_size)
        ]
        if state is not None:
            for sampler in ranks:
                sampler.load_state_dict(json.loads(json.dumps(state)))
        for _ in range(batches):
            parts = [next(iter(s), None) for s in ranks]
            if parts[0] is None:  # the epoch is over
                parts = [next(iter(s)) for s in ranks]
            seen.extend(int(i) for part in parts for i in part)
        states = [s.state_dict() for s in ranks]
        assert all(s == states[0] for s in states)
        state = states[0]
    assert len(seen) > 1003
    assert seen == whole[: len(seen)]


def test_an_epoch_goes_on_where_a_loop_was_left():
    sampler = rc.Sampler(100, 10, seed=0)
    first = list(islice(sampler, 3))
    assert (sampler.epoch, sampler.position, len(sampler)) == (0, 30, 7)
    rest = list(sampler)
    assert np.concatenate(first + rest).tolist() == sampler.read(0, 100, epoch=0).tolist()
    assert (sampler.epoch, sampler.position, len(sampler)) == (1, 0, 10)
    sampler.set_epoch(0)
    assert next(iter(sampler)).tolist() == first[0].tolist()


def test_a_state_of_the_last_batch_begins_the_next_epoch():
    sampler = rc.Sampler(100, 30, seed=0, drop_last=True)
    loop = iter(sampler)
    for _ in range(3):
        next(loop)
    state = sampler.state_dict()
    other = rc.Sampler(100, 30, seed=0, drop_last=True)
    other.load_state_dict(state)
    assert [len(b) for b in other] == [30, 30, 30]
    assert next(loop, None) is None


def test_a_state_of_another_order_is_refused():
    state = rc.Sampler([10, 20], 4, seed=1).state_dict()
    for other, key in (
        (rc.Sampler([10, 21], 4, seed=1), "counts"),
        (rc.Sampler([10, 20], 4, seed=2), "seed"),
        (rc.Sampler([10, 20], 4, seed=1, shuffle=False), "shuffle"),
        (rc.Sampler([10, 20], 4, seed=1, weights=[1, 1]), "weights"),
    ):
        with pytest.raises(ValueError, match=rf"Sampler: state\['{key}'\] is"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="state is without 'position'"):
        rc.Sampler(10, 4).load_state_dict({"format": 1, "epoch": 0})
    with pytest.raises(ValueError, match="position is 31, expected 0 to the epoch's 30 samples"):
        rc.Sampler([10, 20], 4, seed=1).load_state_dict({**state, "position": 31})
    with pytest.raises(ValueError, match=r"state\['format'\] is 2"):
        rc.Sampler([10, 20], 4, seed=1).load_state_dict({**state, "format": 2})


def test_a_state_is_plain_data():
    state = rc.Sampler(np.array([10, 20]), np.int64(4), seed=np.uint64(2**63), weights=np.array([1, 2])).state_dict()
    assert pickle.loads(pickle.dumps(state)) == json.loads(json.dumps(state)) == state


def test_ranks_are_those_of_torch_distributed(tmp_path):
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert len(next(iter(rc.Sampler(10, 4)))) == 4
        assert len(next(iter(rc.Sampler(10, 4, rank=1, world_size=2)))) == 2
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"counts": []}, r"counts is \[\], expected at least one sample"),
        ({"counts": -3}, r"counts\[0\] is -3, expected at least 0"),
        ({"batch_size": 0}, "batch_size is 0, expected at least 1"),
        (
            {"batch_size": 11, "drop_last": True},
            "batch_size is 11, expected at most 10 samples; drop_last leaves no batch",
        ),
        ({"seed": -1}, r"seed is -1, expected 0 to 2\*\*64 - 1"),
        ({"weights": []}, "weights is empty"),
        ({"weights": [math.nan]}, r"weights\[0\] is nan"),
        ({"samples_per_epoch": 0}, "samples_per_epoch is 0, expected at least 1"),
        ({"samples_per_epoch": 5}, "samples_per_epoch is 5, expected none where no weights are given"),
        ({"rank": 3, "world_size": 3}, "rank is 3, expected 0 to world_size - 1 = 2"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, text):
    with pytest.raises(rc.InvalidArgument, match=r"^Sampler: " + text):
        rc.Sampler(**{"counts": 10, "batch_size": 4, **arguments})


def test_places_beyond_the_epoch_are_refused():
    sampler = rc.Sampler(10, 4)
    for first, count in ((8, 3), (-1, 2), (11, 0), (0, -1)):
        with pytest.raises(ValueError, match=r"^Sampler: "):
            sampler.read(first, count)
    with pytest.raises(ValueError, match="epoch is -1"):
        sampler.set_epoch(-1)
    with pytest.raises(TypeError):
        rc.Sampler(10, 2.5)
