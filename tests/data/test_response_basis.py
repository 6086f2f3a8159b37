"""The shipped basis is what the code computes, and describes responses that it has never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hdr.data.response_basis import SHIPPED, compute_basis, main, measure, save_basis, shipped_basis
from hdr.data.response_curves import _SHAPES, family, sample_basis_curves, sample_curves
from hdr.io.crf_files import rgb_triplets
from hdr.ops.crf import SAMPLES, inverse_curves, monotone_projection
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.response_basis import Fit, ResponseBasis, fit, fit_basis

DIRECTIONS: list[Any] = ["forward", "inverse"]


@pytest.fixture(scope="module")
def computed() -> dict[Any, ResponseBasis]:
    return compute_basis()


@pytest.fixture(scope="module")
def film(shared_data: Path) -> tuple[Tensor, list[str]]:
    content = np.load(shared_data / "crf-film" / "film-responses.npz", allow_pickle=False)
    names = [str(name) for name in content["names"]]
    stems = {index: stem for stem, indices in rgb_triplets(names).items() for index in indices}
    return torch.from_numpy(content["brightness"]), [stems.get(index, name) for index, name in enumerate(names)]


# what is shipped -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_shipped_basis_is_the_computed_one(computed: dict[Any, ResponseBasis], direction: Any) -> None:
    found, expected = shipped_basis(direction), computed[direction]
    assert found.direction == direction
    assert found.deviations is not None
    assert expected.deviations is not None
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.deviations, expected.deviations, rtol=1e-4, atol=0)
    signs = (found.components * expected.components).sum(-1).sign()
    torch.testing.assert_close(found.components, expected.components * signs[:, None], rtol=0, atol=1e-4)


def test_the_file_is_small() -> None:
    assert SHIPPED.stat().st_size < 300_000


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_properties_of_the_shipped_basis(direction: Any) -> None:
    basis = shipped_basis(direction)
    assert basis.mean.shape == (SAMPLES,)
    assert basis.components.shape == (25, SAMPLES)
    assert basis.mean.dtype == basis.components.dtype == torch.float32
    assert basis.mean[[0, -1]].tolist() == [0, 1]
    assert bool((basis.mean.diff() > 0).all())
    assert float(basis.components[:, [0, -1]].abs().max()) < 1e-12
    products = basis.components.double() @ basis.components.double().T
    assert float((products - torch.eye(25)).abs().max()) < 1e-6


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_srgb_and_powers_need_few_components(direction: Any) -> None:
    grid = torch.linspace(0, 1, SAMPLES, dtype=torch.float64)
    basis = shipped_basis(direction).to("cpu", torch.float64)
    if direction == "forward":
        curves = torch.stack([linear_to_srgb(grid), grid ** (1 / 2.2), grid])
    else:
        curves = torch.stack([srgb_to_linear(grid), grid**2.2, grid])
    assert fit(curves, basis.first(11).nearest(curves)).rmse_max < 1e-3
    assert fit(curves, basis.first(5).nearest(curves)).rmse_max < 5e-3


def test_measured_film_curves(film: tuple[Tensor, list[str]]) -> None:
    """On 144 curves that had no part in it. The numbers are those that ``measure`` prints, with a margin."""
    rows: dict[Any, Fit] = {(row.direction, row.components, row.basis): row.fit for row in measure(*film)}
    limits = {  # RMSE mean, RMSE max, variance explained
        ("forward", 5): (2.5e-3, 1.4e-2, 0.998),
        ("forward", 11): (4.5e-4, 2.3e-3, 0.9999),
        ("forward", 25): (1.0e-4, 7.5e-4, 0.99999),
        ("inverse", 5): (1.7e-3, 1.6e-2, 0.999),
        ("inverse", 11): (5.5e-4, 6.6e-3, 0.9998),
        ("inverse", 25): (3.1e-4, 5.4e-3, 0.9999),
    }
    for (direction, size), (mean, largest, explained) in limits.items():
        shipped, own, held_out = (rows[direction, size, name] for name in ("shipped", "own", "own, others"))
        assert shipped.rmse_mean < mean
        assert shipped.rmse_max < largest
        assert shipped.explained > explained
        assert own.explained > held_out.explained  # no basis of this size does better than the curves' own
        assert own.explained > shipped.explained
        assert shipped.rmse_mean < 0.05 * rows[direction, 0, "own"].rmse_mean  # the films' own mean curve alone
    assert rows["forward", 0, "own"].explained == pytest.approx(0.0, abs=1e-12)


# the linear algebra --------------------------------------------------------------------------------------------------


def coarse(seed: int, count: int) -> Tensor:
    """Curves of 94 samples, ends included."""
    return torch.from_numpy(family(np.random.default_rng(seed), count)[:, ::11])


@pytest.mark.parametrize("count", [60, 300])  # above the number of samples the rows are reduced first
def test_fit_is_the_eigenbasis_of_the_covariance(count: int) -> None:
    curves = coarse(5, count)
    basis = fit_basis(curves, 6, "forward")
    values, vectors = np.linalg.eigh(np.cov(curves.numpy().T))
    assert basis.deviations is not None
    np.testing.assert_allclose(basis.deviations.numpy() ** 2, values[::-1][:6], rtol=1e-9)
    overlap = np.abs((basis.components.numpy() * vectors[:, ::-1][:, :6].T).sum(1))
    np.testing.assert_allclose(overlap, 1, rtol=0, atol=1e-9)
    weights = basis.project(curves)
    np.testing.assert_allclose(weights.std(0).numpy(), basis.deviations.numpy(), rtol=1e-9)


def test_weights_and_curves() -> None:
    basis = shipped_basis("inverse")
    weights = torch.randn(2, 3, 11, generator=torch.Generator().manual_seed(0))
    curves = basis.first(11).curves(weights)
    assert curves.shape == (2, 3, SAMPLES)
    assert float((curves[..., [0, -1]] - torch.tensor([0.0, 1.0])).abs().max()) < 1e-6
    torch.testing.assert_close(basis.first(11).project(curves), weights, rtol=1e-4, atol=1e-4)
    by_hand = basis.mean.double() + sum(weights[1, 2, k].double() * basis.components[k].double() for k in range(11))
    torch.testing.assert_close(curves[1, 2].double(), by_hand, rtol=0, atol=1e-6)


def test_fit_figures() -> None:
    curves = torch.tensor([[0.0, 0.2, 1.0], [0.0, 0.6, 1.0]], dtype=torch.float64)
    found = fit(curves, torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.6, 1.0]], dtype=torch.float64))
    assert found.rmse_max == pytest.approx(0.3 / 3**0.5)
    assert found.rmse_mean == pytest.approx(0.15 / 3**0.5)
    assert found.explained == pytest.approx(1 - 0.09 / 0.08)


def test_wrong_calls_are_refused() -> None:
    curves = torch.from_numpy(family(np.random.default_rng(0), 4))
    with pytest.raises(ValueError, match="at least 5 curves"):
        fit_basis(curves, 4, "forward")
    with pytest.raises(ValueError, match="start at 0 and end at 1"):
        fit_basis(curves + 0.1, 2, "forward")
    with pytest.raises(ValueError, match="has 25 components"):
        shipped_basis("forward").first(26)


# random curves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", range(len(_SHAPES)))
def test_every_shape_rises_from_0(shape: int) -> None:
    grid = np.linspace(0, 1, SAMPLES)[None]
    curves = _SHAPES[shape](np.random.default_rng(8), 500, grid)
    assert curves.shape == (500, SAMPLES)
    assert (curves[:, 0] == 0).all()
    steps = np.diff(curves / curves[:, -1:])
    assert steps.min() > -1e-14
    assert (steps > 0).mean() > 0.999
    assert np.diff(steps).max() < 0.05  # no jumps: what lies between two samples is nearly a straight line


def test_sampled_curves() -> None:
    curves = sample_curves(np.random.default_rng(2), 50)
    assert curves.shape == (50, 1, SAMPLES)
    assert curves.dtype == torch.float32
    assert bool((curves.diff(dim=-1) >= 0).all())
    assert bool((curves[..., 0] == 0).all())
    assert bool((curves[..., -1] == 1).all())
    assert torch.equal(curves, sample_curves(np.random.default_rng(2), 50))
    assert not torch.equal(curves, sample_curves(np.random.default_rng(3), 50))
    assert float(curves[:, 0, SAMPLES // 4].std()) > 0.1  # they differ widely


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_curves_sampled_from_a_basis(direction: Any) -> None:
    basis = shipped_basis(direction)
    curves = sample_basis_curves(np.random.default_rng(2), 200, basis)
    assert curves.shape == (200, 1, SAMPLES)
    assert bool((curves.diff(dim=-1) >= 0).all())
    assert float((curves.diff(dim=-1) == 0).float().mean(-1).max()) <= 0.05
    assert torch.equal(curves, sample_basis_curves(np.random.default_rng(2), 200, basis))
    spread = curves[:, 0].std(0)[100:-100] / (basis.deviations[:, None] * basis.components).norm(dim=0)[100:-100]  # type: ignore[index]
    assert 0.7 < float(spread.min()) <= float(spread.max()) < 1.1  # a little less than the family's own


def test_a_basis_without_deviations_or_with_flat_curves_cannot_be_sampled() -> None:
    basis = shipped_basis("forward")
    silent = ResponseBasis(mean=basis.mean, components=basis.components, direction="forward")
    with pytest.raises(ValueError, match="does not know"):
        sample_basis_curves(np.random.default_rng(0), 2, silent)
    step = ResponseBasis(
        mean=(torch.linspace(0, 1, 9) > 0.5).float(),
        components=torch.zeros(1, 9),
        direction="forward",
        deviations=torch.zeros(1),
    )
    with pytest.raises(ValueError, match="only 0 curves"):
        sample_basis_curves(np.random.default_rng(0), 2, step)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_family_inverts(direction: Any) -> None:
    """A curve, its inverse and the basis of the other direction belong together."""
    curves = sample_curves(np.random.default_rng(9), 64)[:, 0].double()
    rows = curves if direction == "forward" else inverse_curves(curves)
    basis = shipped_basis(direction).to("cpu", torch.float64).first(11)
    described = monotone_projection(basis.nearest(rows))
    assert fit(rows, described).rmse_mean < 1e-3
    assert fit(rows, described).rmse_max <= fit(rows, basis.nearest(rows)).rmse_max + 1e-9


# the command ---------------------------------------------------------------------------------------------------------


def test_the_command_measures_a_file_and_does_not_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = family(np.random.default_rng(0), 30)
    grid = " ".join(f"{value:.6e}" for value in np.linspace(0, 1, SAMPLES))
    records = []
    for number, curve in enumerate(curves):
        name = f"film{number // 3}{('Red', 'Green', 'Blue')[number % 3]}"
        records += [name, "graph", "I =", grid, "B =", " ".join(f"{value:.6e}" for value in curve)]
    path = tmp_path / "curves.txt"
    path.write_text("\n".join(records))
    monkeypatch.setattr("sys.argv", ["response_basis", "measure", str(path)])
    main()
    table = capsys.readouterr().out
    assert "30 curves of 10 films" in table
    assert len(table.splitlines()) == 2 + 2 * 4 * 3
    monkeypatch.setattr("sys.argv", ["response_basis", "compute", str(path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "this file exists" in capsys.readouterr().err


def test_few_curves_are_measured_by_the_shipped_basis_alone() -> None:
    curves = sample_curves(np.random.default_rng(4), 3)[:, 0]
    rows = list(measure(curves, ["one"] * 3))
    assert [row[:3] for row in rows] == [(d, k, "shipped") for d in DIRECTIONS for k in (0, 5, 11, 25)]


def test_a_saved_basis_is_the_same_again(tmp_path: Path) -> None:
    save_basis(tmp_path / "again.safetensors", {name: shipped_basis(name) for name in DIRECTIONS})
    again, shipped = load_file(tmp_path / "again.safetensors"), load_file(SHIPPED)
    assert sorted(again) == sorted(shipped)
    assert all(torch.equal(again[name], tensor) for name, tensor in shipped.items())
