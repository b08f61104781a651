"""The cache of synthesis: when it is made anew, in which precision, and clips side by side."""

import pytest
import torch

from flowsuite.audio.conditioning import Conditioning
from flowsuite.audio.packed_columns import PackedColumns
from flowsuite.audio.row_sampler import RowSampler, ring_taps
from flowsuite.audio.squeeze import sample_mask
from tests.audio.flows_made import conditioning, row_flow


@pytest.mark.parametrize("lengths", [[12], [7], [12, 5, 0, 12], [4, 8, 9]])
@pytest.mark.parametrize("inner", [(), (2,), (3, 2)])
def test_packing(lengths, inner):
    valid = sample_mask(torch.tensor(lengths), 12, 4)
    packing = PackedColumns(valid, len(lengths), 3, gap=2)
    x = torch.randn(len(lengths), *inner, 3) * valid.any(1).view(len(lengths), *[1] * len(inner), 3)
    packed = packing.pack(x)
    widths = [-(-n // 4) for n in lengths]
    assert packed.shape == (*inner, sum(widths) + 2 * (len(lengths) - 1))
    assert torch.equal(packing.unpack(packed), x)
    mask = packing.mask(x)
    if mask is None:
        assert lengths == [12]
    else:
        assert mask.sum() == sum(widths) and not (packed * (1 - mask)).any()


def test_packing_of_full_clips():
    packing = PackedColumns(None, 2, 3, gap=1)
    x = torch.arange(6.0).view(2, 3)
    assert packing.pack(x).tolist() == [0, 1, 2, 0, 3, 4, 5]


def test_ring_taps():
    """Whatever slot is the newest, the taps meet the rows that they are for."""
    kernel = torch.randn(4, 2, 3, 3)
    rows = torch.randn(3, 2)  # from the oldest to the newest
    expected = torch.einsum("oirw,ri->ow", kernel, rows)
    for turn, taps in enumerate(ring_taps(kernel)):
        ring = torch.empty(3, 2)
        for age in range(3):  # 0 is the newest
            ring[(turn - age) % 3] = rows[2 - age]
        for w in range(3):
            torch.testing.assert_close(taps[w] @ ring.flatten(), expected[:, w])


@torch.no_grad()
def test_notices_new_weights():
    flow, context = row_flow(5, [1, 2]), conditioning(1, 5, 4)
    z = torch.randn(1, 5, 4, dtype=torch.float64)
    before = flow.generate(z, context)
    assert torch.equal(flow.generate(z, context), before)
    old = {name: value.clone() for name, value in flow.state_dict().items()}
    for name, p in flow.named_parameters():
        p.add_(0.1 if name != "net.front.weight" else -2 * p)  # of that one only the sign counts
        now = flow.generate(z, context)
        assert not torch.equal(now, before), name
        torch.testing.assert_close(now, flow.naive_inverse(z, context)[0], rtol=1e-11, atol=1e-11)
        before = now
    flow.load_state_dict(old)
    torch.testing.assert_close(flow(flow.generate(z, context), context)[0], z, rtol=1e-11, atol=1e-11)
    flow.float()
    assert flow.generate(z.float(), Conditioning(context.mel.float())).dtype == torch.float32


@torch.no_grad()
@pytest.mark.parametrize("lengths", [None, torch.tensor([60, 33])], ids=["full", "ragged"])
def test_autocast(lengths):
    """The net in bfloat16, the rest in float32; and afterwards float32 as before."""
    flow = row_flow(6, [1, 2], 8).float()
    context = conditioning(2, 6, 10, lengths)
    context = Conditioning(context.mel.float(), context.valid)
    z = torch.randn(2, 6, 10) * (1 if lengths is None else context.valid[:, flow.order])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, low_ladj = flow.inverse(z, context)
    exact, ladj = flow.inverse(z, context)
    assert low.dtype == low_ladj.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=0.1, atol=0.1)
    torch.testing.assert_close(low_ladj, ladj, rtol=0.05, atol=0.5)
    assert not torch.equal(low, exact)
    torch.testing.assert_close(exact, flow.naive_inverse(z, context)[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_arithmetic_in_bfloat16():
    flow = row_flow(4, [1, 1], 8).float()
    z, mel = torch.randn(1, 4, 6), conditioning(1, 4, 6).mel.float()
    x, _ = RowSampler(flow.net, torch.bfloat16)(z, mel[:, :, flow.order], None)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, flow.inverse(z, Conditioning(mel))[0], rtol=0.1, atol=0.1)
