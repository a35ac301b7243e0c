"""rc.Sampler against an oracle written from docs/sampling.md, across ranks, resumption and mixtures."""

from __future__ import annotations

import copy
import json
import math
import pickle
from itertools import islice, pairwise

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
        self.keys = [divmod(mix(mix(key, size), r), 2**32)[::-1] for r in range(8)]

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


def oracle_shares(weights: list[float]) -> list[int]:
    before, ends = 0.0, [0]
    for w in weights:
        before += w
        ends.append(before)
    ends = [math.floor(e / before * 2**20 + 0.5) for e in ends]
    sizes = [b - a for a, b in pairwise(ends)]
    for d, w in enumerate(weights):
        if w > 0 and sizes[d] == 0:
            sizes[sizes.index(max(sizes))] -= 1
            sizes[d] = 1
    return [sum(sizes[:d]) for d in range(len(sizes) + 1)]


def oracle_mixture(counts: list[int], weights: list[float], seed: int, number: int) -> list[int]:
    """The first draws, one after the other."""
    shares, drawn, out = oracle_shares(weights), [0] * len(counts), []
    for g in range(number):
        now, place = divmod(g, 2**20)
        turn = int(f"{place:020b}"[::-1], 2) ^ (oracle_key(seed, 1, now) % 2**20)
        d = next(d for d in range(len(counts)) if shares[d] <= turn < shares[d + 1])
        number_of_pass, draw = divmod(drawn[d], counts[d])
        drawn[d] += 1
        out.append(sum(counts[:d]) + OraclePermutation(counts[d], oracle_key(seed, 2, d, number_of_pass))(draw))
    return out


@pytest.mark.parametrize("count", [1, 2, 16, 255, 257, 99_999, 10**9, 2**40 + 1, 67108865**2 - 1, 2**60 - 1, 2**60])
def test_the_order_is_what_the_documentation_says(count):
    sampler = rc.Sampler(count, 8, seed=11)
    for epoch, first in ((0, 0), (3, count // 2), (2**40, max(count - 150, 0))):
        number = min(150, count - first)
        got = sampler.read(first, number, epoch=epoch)
        assert got.dtype == np.int64
        assert got.tolist() == oracle_order(count, 11, epoch, first, number)


def test_a_mixture_is_what_the_documentation_says():
    counts, weights, seed = [1000, 7, 0, 50_000], [0.5, 1.0, 0.0, 2.5], 2**64 - 1
    want = oracle_mixture(counts, weights, seed, 6000)
    sampler = rc.Sampler(counts, 8, seed=seed, weights=weights, samples_per_epoch=2500)
    got = np.concatenate([sampler.read(0, 2500, epoch=e) for e in range(3)])
    assert got[:6000].tolist() == want
    for first in (1, 700, 2499):
        assert sampler.read(first, 1, epoch=1).tolist() == [want[2500 + first]]


@pytest.mark.parametrize("weights", [[3, 1], [1] * 7, [1, 1e-9, 5], [0.9] + [1e-4] * 1000])
def test_each_dataset_of_a_mixture_goes_through_its_samples_again_and_again(weights):
    """Over the end of a round, too: in any number of draws its samples come alike often, to one."""
    counts = [10 + 3 * d for d in range(len(weights))]
    sampler = rc.Sampler(counts, 8, weights=weights, samples_per_epoch=2**20 + 5000)
    ends, shares = np.cumsum(counts), oracle_shares([float(w) for w in weights])
    for number in (5000, 2**20, 2**20 + 5000):
        drawn = sampler.read(0, number, epoch=0)
        times = np.bincount(drawn, minlength=ends[-1])
        for d, end in enumerate(ends[:20]):
            part = times[end - counts[d] : end]
            assert part.max() - part.min() <= 1
            assert abs(part.sum() - number * (shares[d + 1] - shares[d]) / 2**20) <= 40


def test_shares_are_lifted_from_whoever_has_most():
    weights = [1.0, 1e-9, 0.5, 1.0, 0.0, *([1e-9] * 300)]
    drawn = rc.Sampler([1] * len(weights[:4]) + [0] + [1] * 300, 8, weights=weights, samples_per_epoch=2**20)
    times = np.bincount(drawn.read(0, 2**20), minlength=304)
    shares = np.diff(oracle_shares(weights))
    assert times.tolist() == [int(s) for d, s in enumerate(shares) if d != 4]


def test_a_mixture_of_one_dataset_has_every_sample_once_an_epoch():
    sampler = rc.Sampler([2_000_003], 8, weights=[2.0])
    for epoch in range(2):
        assert (np.bincount(sampler.read(0, 2_000_003, epoch=epoch)) == 1).all()


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
    list(islice(sampler, 3))  # leaves the loop after the last batch
    other = rc.Sampler(100, 30, seed=0, drop_last=True)
    other.load_state_dict(sampler.state_dict())
    for one in (sampler, other):
        assert (one.epoch, one.position) == (1, 0)
        assert [len(b) for b in one] == [30, 30, 30]


def test_loops_end_with_the_epoch_whoever_ended_it():
    sampler = rc.Sampler(100, 10)
    outer = iter(sampler)
    next(outer)
    assert len(list(sampler)) == 9
    assert next(outer, None) is None
    assert (sampler.epoch, sampler.position) == (1, 0)
    batches = 0
    for _ in sampler:
        sampler.load_state_dict(sampler.state_dict())
        batches += 1
    assert batches == 10


def test_copies_go_on_where_the_sampler_is():
    sampler = rc.Sampler(
        [10, 20], 4, weights=[1, 2], samples_per_epoch=50, drop_last=True, seed=2**63, rank=1, world_size=2
    )
    list(islice(sampler, 5))
    for other in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)):
        assert other.state_dict() == sampler.state_dict()
        assert [b.tolist() for b in other] == [b.tolist() for b in copy.copy(sampler)]


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
    with pytest.raises(ValueError, match="state is None, expected what state_dict returned"):
        rc.Sampler(10, 4).load_state_dict(None)
    weighted = rc.Sampler([10, 20], 4, weights=[1, 3], samples_per_epoch=30)
    rc.Sampler([10, 20], 4, weights=[2, 6]).load_state_dict(weighted.state_dict())  # the same order


def test_a_state_is_plain_data():
    state = rc.Sampler(np.array([10, 20]), np.int64(4), seed=np.uint64(2**63), weights=np.array([1, 2])).state_dict()
    assert pickle.loads(pickle.dumps(state)) == json.loads(json.dumps(state)) == state


def test_ranks_are_those_of_torch_distributed(tmp_path):
    torch = pytest.importorskip("torch")
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
        ({"seed": -1}, "seed is -1, expected 0 to 18446744073709551615"),
        ({"weights": []}, r"weights is \[\], expected one number for each"),
        ({"weights": [math.nan]}, r"weights\[0\] is nan"),
        ({"weights": "1"}, "weights is '1'"),
        ({"batch_size": 2**63}, r"batch_size is 9223372036854775808, expected -\d+ to \d+"),
        (
            {"counts": [1] * (2**16 + 1), "weights": [1] * (2**16 + 1)},
            "weights is 65537 numbers, expected at most 65536",
        ),
        ({"counts": [3, 0], "weights": [1, 1e-12]}, r"counts\[1\] is 0, expected at least 1, as its weight is 1e-12"),
        ({"samples_per_epoch": -1, "weights": [1]}, "samples_per_epoch is -1, expected at least 1"),
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
    for first, count in ((8, 3), (-1, 2), (11, 0), (0, -1), (2**63 - 1, 3)):
        with pytest.raises(ValueError, match=r"^Sampler: "):
            sampler.read(first, count)
    with pytest.raises(ValueError, match="epoch is -1"):
        sampler.set_epoch(-1)
    with pytest.raises(TypeError):
        rc.Sampler(10, 2.5)
