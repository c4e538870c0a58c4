"""What blocks read of the vision tokens: normed once, positioned by one convolution, renewed when the tokens change."""

from copy import deepcopy

import torch

from visor_eval.models.sequence import Batch, Prompt


def prompt(vision, text, seed):
    """A prompt of noise, its text behind one image."""
    generator = torch.Generator().manual_seed(seed)
    return Prompt(
        text=torch.randn(text, 16, generator=generator),
        vision=3 * torch.randn(vision, 16, generator=generator),
        text_positions=torch.arange(vision, vision + text),
        vision_positions=torch.arange(vision),
        image_lengths=(vision,),
    )


def rotary(states, positions):
    """Positions play no part here."""
    zeros = torch.zeros(*positions.shape, 8)
    return zeros, zeros


def test_one_convolution_is_norm_sum_and_convolution(modules):
    block = deepcopy(next(iter(modules.blocks.values())))
    torch.manual_seed(0)
    states = torch.randn(2, 11, block.shape.hidden)
    with torch.no_grad():
        block.norm_vision.weight.uniform_(0.5, 2.0)
        block.conv.bias.normal_()
        normed = block.norm_vision(states)
        expected = normed + block.conv(normed.transpose(1, 2)).transpose(1, 2)
        over_rms = states * (states.square().mean(-1, keepdim=True) + block.shape.norm_eps).rsqrt()
        found = block.positioned(over_rms)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_vision_is_normed_once_until_it_changes():
    batch = Batch([prompt(5, 3, 0), prompt(2, 4, 1)], rotary)
    first = batch.vision_over_rms(1e-6)
    batch.set_text(batch.text.states + 1)
    fork = batch.fork()
    assert batch.vision_over_rms(1e-6) is first
    assert (first[1, 2:] == 0).all()  # padding
    torch.testing.assert_close(first[0].square().mean(-1), torch.ones(5))
    batch.set_merged(-2 * batch.merged().states)
    torch.testing.assert_close(batch.vision_over_rms(1e-6), -first)
    assert fork.vision_over_rms(1e-6) is first
    torch.testing.assert_close(batch.select([1]).vision_over_rms(1e-6), -first[1:])
    torch.testing.assert_close(Batch.stacked([batch, fork]).vision_over_rms(1e-6), torch.cat([-first, first]))
