"""The pool that training batches are mixed from."""

import torch

from sr_experiments.data.degradations.pool import PairPool


def batch(*numbers):
    """Pairs whose every pixel is their number, in 255ths."""
    levels = torch.tensor(numbers, dtype=torch.float32)[:, None, None, None] / 255
    return levels.expand(-1, 3, 2, 2).clone(), levels.expand(-1, 3, 8, 8).clone()


def numbers(pair):
    lr, hr = ((images * 255).round()[:, 0, 0, 0].int().tolist() for images in pair)
    assert lr == hr
    return lr


def fed(pool, count, size=4, seed=0, first=0):
    """Numbers that a pool gives for `count` batches of rising numbers."""
    generator = torch.Generator().manual_seed(seed)
    return [numbers(pool(*batch(*range(i * size, (i + 1) * size)), generator)) for i in range(first, first + count)]


def test_until_full_batches_go_through():
    assert fed(PairPool(8), 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_then_earlier_pairs_come_out_and_none_is_lost_or_doubled():
    pool = PairPool(12)
    given = fed(pool, 20)
    later = [n for numbers in given[3:] for n in numbers]
    assert len(later) == len(set(later)) == 17 * 4
    assert all(n < 4 * i for i, numbers in enumerate(given) if i >= 3 for n in numbers)  # from earlier batches
    kept = (pool.hr[:, 0, 0, 0]).tolist()
    assert sorted(later + kept) == list(range(80))
    mixed = [len({n // 4 for n in numbers}) for numbers in given[3:]]
    assert max(mixed) > 2


def test_the_generator_chooses():
    assert fed(PairPool(12), 8, seed=1) == fed(PairPool(12), 8, seed=1) != fed(PairPool(12), 8, seed=2)


def test_a_pool_goes_on_from_its_state():
    whole, part = PairPool(12), PairPool(12)
    fed(whole, 5), fed(part, 5)
    fresh = PairPool(12)
    assert fresh.lr.numel() == 0
    fresh.load_state_dict({key: value.clone() for key, value in part.state_dict().items()})
    assert fed(fresh, 4, seed=3, first=5) == fed(whole, 4, seed=3, first=5)
    half = PairPool(12)
    fed(half, 2)
    fresh = PairPool(12)
    fresh.load_state_dict(half.state_dict())
    assert fed(fresh, 1, first=2) == [[8, 9, 10, 11]]  # a third batch still fits
    assert all(v.dtype in (torch.uint8, torch.long) for v in fresh.state_dict().values())


def test_loading_keeps_the_pools_apart():
    first, second = PairPool(8), PairPool(8)
    fed(first, 2)
    second.load_state_dict(first.state_dict())
    fed(second, 3, first=2)
    assert first.hr[:, 0, 0, 0].tolist() == list(range(8))


def test_sizes_that_are_no_multiples_of_the_batch():
    pool = PairPool(10)
    given = fed(pool, 6)
    assert given[:2] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sorted(n for g in given[2:] for n in g) != list(range(8, 24))
    assert fed(PairPool(3), 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]  # larger batches go through
    short = fed(pool, 1, size=2)
    assert len(short[0]) == 2


def test_other_sizes_of_images_begin_anew():
    pool = PairPool(8)
    fed(pool, 3)
    lr, hr = torch.zeros(4, 3, 3, 3), torch.zeros(4, 3, 12, 12)
    assert torch.equal(pool(lr, hr)[0], lr) and pool.hr.shape == (8, 3, 12, 12) and int(pool.filled) == 4
