from __future__ import annotations

import pytest
import torch

from pipeline.localizer.net import ENCODERS, build, step_sizes, windowed


def test_the_paper_encoder_is_a_resnet50_without_its_last_layer() -> None:
    net = build("resnet50")
    # 25 557 032 parameters of ResNet-50 less 2 049 000 of its last layer
    assert sum(weight.numel() for weight in net.encoder.parameters()) == 23_508_032
    assert ENCODERS["resnet50"].features == net.encoder(torch.zeros(1, 3, 64, 64)).shape[1] == 2048
    assert net.first.lstm.hidden_size == 512


def test_windows_clip_to_their_range() -> None:
    hu = torch.tensor([-1000.0, 0, 40, 80, 3000]).reshape(1, 1, 5)
    brain, subdural, bone = windowed(hu)[0, :, 0]
    assert brain.tolist() == [-1, -1, 0, 1, 1]
    assert subdural.tolist() == pytest.approx([-1, -75 / 107.5, -35 / 107.5, 5 / 107.5, 1])
    assert bone.tolist() == pytest.approx([-1, -600 / 1400, -560 / 1400, -520 / 1400, 1])


def test_series_in_one_batch_do_not_disturb_each_other() -> None:
    torch.manual_seed(1)
    net = build("resnet10").eval()
    images, steps = torch.randn(16, 3, 48, 48), torch.rand(16) + 0.5
    with torch.inference_mode():
        together, _ = net(images, steps, torch.tensor([5, 11]))
        first, _ = net(images[:5], steps[:5], torch.tensor([5]))
        second, _ = net(images[5:], steps[5:], torch.tensor([11]))
    assert together.shape == (16, 2, 2)
    # the shorter series is padded: the padding must not reach its outputs by the convolutions
    torch.testing.assert_close(together[5:], second)
    torch.testing.assert_close(together[:5], first)


def test_a_slice_hears_of_the_others() -> None:
    torch.manual_seed(2)
    net = build("resnet10").eval()
    images, lengths = torch.randn(9, 3, 48, 48), torch.tensor([9])
    changed = images.clone()
    changed[-1] += 1
    with torch.inference_mode():
        series, single = net(images, torch.ones(9), lengths)
        other_series, other_single = net(changed, torch.ones(9), lengths)
    assert not torch.equal(series[0], other_series[0])
    torch.testing.assert_close(single[0], other_single[0])


def test_steps_of_mixed_spacing() -> None:
    assert step_sizes(torch.tensor([0.0, 5, 10, 20])).tolist() == [1, 1, 1.5, 2]
    assert step_sizes(torch.tensor([3.0])).tolist() == [1]
