from __future__ import annotations

import torch

from hdr.metrics.quantise import round_8bit


def test_round_8bit_gives_what_a_file_holds() -> None:
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 127.6 / 255, 254.4 / 255, 1.0, 7.0])
    assert torch.equal(round_8bit(values) * 255, torch.tensor([0.0, 0.0, 0.0, 1.0, 128.0, 254.0, 255.0, 255.0]))
    codes = torch.arange(256.0) / 255
    assert torch.equal(round_8bit(codes), codes)


def test_round_8bit_does_not_hide_what_is_not_a_number() -> None:
    assert round_8bit(torch.tensor([float("nan")])).isnan().all()
