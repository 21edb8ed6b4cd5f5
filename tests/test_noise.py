"""Random numbers that depend on nothing but seed, epoch and index."""

import pytest
import torch
from scipy import stats

from scorewise import noise
from scorewise.backbones import MLP
from scorewise.heads import Score
from scorewise.noise import (
    Draws,
    OfRows,
    geometric_ladder,
    normal_like,
    of_some,
    signs_like,
    smoothing_noise,
    step_size,
    uniform_like,
)


def test_numbers_do_not_depend_on_how_examples_are_grouped() -> None:
    index = torch.arange(64)
    whole = Draws.of(3, 5, index).normal(7)
    parts = torch.cat([Draws.of(3, 5, part).normal(7) for part in (index[::2], index[1::2])])
    torch.testing.assert_close(whole[torch.cat([index[::2], index[1::2]])], parts, rtol=0, atol=0)
    torch.testing.assert_close(whole, Draws.of(3, torch.full((64,), 5), index).normal(7), rtol=0, atol=0)


def test_seed_epoch_index_and_purpose_all_matter() -> None:
    base = Draws.of(0, 0, torch.arange(8))
    others = [Draws.of(1, 0, torch.arange(8)), Draws.of(0, 1, torch.arange(8)), Draws.of(0, 0, torch.arange(8) + 8)]
    for other in [*others, base.fork("a"), base.fork("b"), base.fork("a").fork("b")]:
        assert not (other.normal(5) == base.normal(5)).any()


def test_distribution() -> None:
    draws = Draws.of(0, 0, torch.arange(200_000))
    z = draws.normal(3, dtype=torch.float64)
    assert z.mean(0).abs().max() < 0.01
    assert (z.std(0) - 1).abs().max() < 0.01
    assert ((z**4).mean(0) - 3).abs().max() < 0.1
    assert (torch.corrcoef(z.T) - torch.eye(3)).abs().max() < 0.01
    neighbours = torch.corrcoef(torch.stack([z[:-1, 0], z[1:, 0]]))[0, 1]
    assert abs(neighbours) < 0.01
    u = draws.uniform(2)
    assert u.min() > 0
    assert u.max() < 1
    assert (torch.histc(u[:, 0], 20, 0, 1) / 10_000 - 1).abs().max() < 0.05
    chosen = draws.choice(torch.tensor([0.4, 1.0, 0.6]))  # weights, not shares
    assert (torch.bincount(chosen) / 200_000 - torch.tensor([0.2, 0.5, 0.3])).abs().max() < 0.01


def test_fresh_draws_follow_a_generator() -> None:
    one, two = (Draws.fresh(4, torch.Generator().manual_seed(7)).normal(3) for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_the_smoothing_has_numbers_of_its_own() -> None:
    draws, like = Draws.of(0, 0, torch.arange(6)), torch.zeros(6, 4, dtype=torch.float64)
    smooth = smoothing_noise(draws, like)
    assert (smooth.shape, smooth.dtype) == (like.shape, like.dtype)
    assert torch.equal(smooth, smoothing_noise(draws, like))
    for other in (draws, draws.fork("data"), draws.fork("dsm")):
        assert not (smooth == other.normal(4, dtype=torch.float64)).any()


def test_a_step_is_in_units_of_the_variance_of_the_noise() -> None:
    assert step_size(0.2, Score(MLP((2,), (4,)), std=2.0, noise=0.5)) == pytest.approx(0.2 * 0.25)
    assert step_size(0.2, Score(MLP((2,), (4,)), std=3.0)) == pytest.approx(0.2 * 9 / 20)


def test_a_ladder_has_its_ends_and_one_ratio() -> None:
    ladder = geometric_ladder(8.0, 1.0, 4)
    assert ladder == pytest.approx((8.0, 4.0, 2.0, 1.0))
    assert geometric_ladder(8.0, 1.0, 1) == (1.0,)


def test_signs_are_where_uniform_numbers_are_below_a_half() -> None:
    draws = Draws.of(3, 1, torch.arange(200))
    for dtype in (torch.float32, torch.float64):
        expected = torch.where(draws.uniform(2, 7) < 0.5, 1.0, -1.0).to(dtype)
        assert torch.equal(draws.signs(2, 7, dtype=dtype), expected)


def test_numbers_in_half_precision_are_inside_the_interval_and_finite() -> None:
    class Least(Draws):
        """Draws whose uniform numbers begin at the two ends."""

        def _bits(self, count: int) -> torch.Tensor:
            bits_BN = super()._bits(count)
            bits_BN[:, 0], bits_BN[:, 1] = 0, -1
            return bits_BN

    draws = Least.fresh(3, torch.Generator().manual_seed(0))
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        uniform_BN = draws.uniform(4000, dtype=dtype)
        assert uniform_BN.dtype == dtype
        assert uniform_BN.min() > 0
        assert uniform_BN.max() < 1
        normal_BN = draws.normal(4000, dtype=dtype)
        assert normal_BN.dtype == dtype
        assert normal_BN.isfinite().all()
        exact_BN = draws.normal(4000, dtype=torch.float64)
        torch.testing.assert_close(normal_BN.double(), exact_BN, rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_keys_are_mixed_as_splitmix64_does_on_every_device() -> None:
    """The first outputs of SplitMix64 with seed 0, and the same integers by torch's operations."""
    z = torch.tensor([1, 2], dtype=torch.int64) * noise._GOLDEN
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert [one % 2**64 for one in noise._mix(z).tolist()] == expected
    many = torch.randint(-(2**62), 2**62, (3, 1000))
    assert torch.equal(noise._mix(many), noise._mixed_anywhere(many))


def test_numbers_of_rows_do_not_depend_on_the_rows_beside_them() -> None:
    """Nor on whether something was drawn for others alone, and they are the same as by the draws themselves."""
    draws, like = Draws.of(3, -1, torch.arange(6)), torch.zeros(6, 2, 3, dtype=torch.float64)
    for like_of in (uniform_like, normal_like, signs_like):
        whole = OfRows(draws)
        first, second = like_of(like, whole), like_of(like, whole)
        part = OfRows(Draws(draws.key_B[[4, 1]]))
        assert torch.equal(like_of(like[:2], part), first[[4, 1]])
        assert torch.equal(like_of(like[:2], part), second[[4, 1]])
        assert not torch.equal(first, second)
        rows = torch.tensor([1, 4])
        several = like_of(like[:4], of_some(whole, rows, "a", 2))
        again = like_of(like[:2], of_some(OfRows(Draws(draws.key_B[[0, 1]])), torch.tensor([1]), "a", 2))
        assert torch.equal(several[[0, 2]], again)
        assert len(several.unique(dim=0)) == 4
        assert not torch.equal(like_of(like[:4], of_some(whole, rows, "b", 2)), several)
    keys = [OfRows(draws), of_some(OfRows(draws), rows, "a"), of_some(OfRows(draws), rows, "b"), OfRows(draws)]
    by_torch = [torch.rand(8, generator=one) for one in keys]  # as code of one's own may take them
    assert torch.equal(by_torch[0], by_torch[3])
    assert len(torch.stack(by_torch).unique(dim=0)) == 3
    plain = torch.Generator()
    assert of_some(plain, torch.arange(2), "a") is plain


def test_draws_of_content_are_those_of_the_example() -> None:
    x = torch.randn(4000, 3)
    draws = Draws.of_content(x)
    assert torch.equal(Draws.of_content(x[[7, 2]].double()).key_B, draws.key_B[[7, 2]])
    assert torch.equal(
        Draws.of_content(torch.tensor([[0.0, 1]])).key_B, Draws.of_content(torch.tensor([[-0.0, 1]])).key_B
    )
    assert len({*draws.key_B.tolist(), *Draws.of_content(x.flip(1)).key_B.tolist()}) == 8000
    assert stats.kstest(draws.uniform(dtype=torch.float64).numpy(), "uniform").pvalue > 1e-3
