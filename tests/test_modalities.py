"""OneLLM's networks at two layers: eight modalities through one frozen encoder and the shared projections, for both backbones' widths."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from unified_demo.model.modality_tokenizers import (
    SEVERAL,
    AudioTokenizer,
    Modality,
    PointTokenizer,
    SignalSizes,
    UniversalEncoder,
    farthest_points,
    log_mel,
    nearest_points,
)
from unified_demo.model.universal_projection import QUERIES, UniversalProjection

WIDTH = 48
SIZES = SignalSizes(mel_frames=64, imu_samples=40, point_groups=9, point_neighbours=4, voxels=50)
SIGNALS = {
    Modality.IMAGE: (3, 28, 28),
    Modality.VIDEO: (5, 3, 28, 28),
    Modality.DEPTH: (2, 3, 28, 28),
    Modality.NORMAL: (2, 3, 28, 28),
    Modality.AUDIO: (64, 128),
    Modality.POINT: (30, 6),
    Modality.IMU: (40, 6),
    Modality.FMRI: (50,),
}
TOKENS = {Modality.AUDIO: 5 * 12, Modality.POINT: 9, Modality.IMU: 31, Modality.FMRI: 8}
SMOLLM2, QWEN = 576, 32
"""Widths of the language models: the real SmolLM2-135M and the tests' Qwen3-VL."""


def make_encoder() -> UniversalEncoder:
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14)
    return UniversalEncoder(Dinov2Model(config).eval(), SIZES)


def make_projection(language_width: int = QWEN, **sizes: int) -> UniversalProjection:
    torch.manual_seed(1)
    return UniversalProjection(WIDTH, language_width, heads=4, **sizes).eval()


def signal(modality: Modality, count: int = 2) -> torch.Tensor:
    return torch.randn(count, *SIGNALS[modality], generator=torch.Generator().manual_seed(list(Modality).index(modality)))


@pytest.mark.parametrize("language_width", [SMOLLM2, QWEN])
@pytest.mark.parametrize("modality", Modality)
@torch.no_grad()
def test_every_modality_becomes_thirty_embeddings(modality: Modality, language_width: int) -> None:
    features = make_encoder()(signal(modality), modality)
    assert features.shape == (2, 1 + TOKENS.get(modality, 4), WIDTH)
    projected = make_projection(language_width)(features, modality)
    assert projected.shape == (2, QUERIES, language_width) and QUERIES == 30
    assert projected.isfinite().all() and not torch.allclose(projected[0], projected[1])


@pytest.mark.parametrize("modality", SEVERAL)
@torch.no_grad()
def test_several_pictures_are_the_mean_of_their_features(modality: Modality) -> None:
    encoder, pictures = make_encoder(), signal(modality)
    one_by_one = torch.stack([encoder(pictures[:, place], Modality.IMAGE) for place in range(pictures.shape[1])])
    torch.testing.assert_close(encoder(pictures, modality), one_by_one.mean(0))


@torch.no_grad()
def test_a_picture_is_read_as_the_encoder_reads_it() -> None:
    encoder, pixels = make_encoder(), signal(Modality.IMAGE)
    assert torch.equal(encoder(pixels, Modality.IMAGE), encoder.vit(pixel_values=pixels).last_hidden_state)


def test_every_signal_may_be_short_but_not_longer_than_its_places() -> None:
    encoder = make_encoder()
    assert encoder(signal(Modality.AUDIO)[:, :40], Modality.AUDIO).shape[1] == 1 + 3 * 12
    assert encoder(signal(Modality.IMU)[:, :20], Modality.IMU).shape[1] == 1 + 11
    with pytest.raises(ValueError, match="11 steps, and there are places for 5"):
        encoder(torch.zeros(1, 120, 128), Modality.AUDIO)


# ---- the gate ----


@torch.no_grad()
def test_gates_sum_to_one_and_belong_to_the_modality() -> None:
    projection = make_projection()
    for modality in Modality:
        gates = projection.gates(modality)
        assert gates.shape == (QUERIES, 3) and (gates > 0).all()
        torch.testing.assert_close(gates.sum(-1), torch.ones(QUERIES))
    assert not torch.allclose(projection.gates(Modality.IMAGE), projection.gates(Modality.AUDIO))


@torch.no_grad()
def test_the_mixture_is_the_gated_sum_of_projections() -> None:
    projection, features = make_projection(), torch.randn(2, 5, WIDTH)
    joined = torch.cat([projection.queries["imu"].expand(2, -1, -1), projection.enter["imu"](features)], 1)
    gates = projection.gates(Modality.IMU)
    mixed = sum(gates[:, number, None] * stack(joined)[:, :QUERIES] for number, stack in enumerate(projection.projections))
    torch.testing.assert_close(projection(features, Modality.IMU), projection.leave["imu"](mixed))


@torch.no_grad()
def test_one_projection_is_the_plain_projection() -> None:
    projection, features = make_projection(projections=1), torch.randn(2, 5, WIDTH)
    joined = torch.cat([projection.queries["image"].expand(2, -1, -1), projection.enter["image"](features)], 1)
    plain = projection.leave["image"](projection.projections[0](joined)[:, :QUERIES])
    torch.testing.assert_close(projection(features, Modality.IMAGE), plain)


# ---- sounds ----


@torch.no_grad()
def test_a_sound_may_begin_as_the_encoders_picture_of_it() -> None:
    """With patches of the same size the tokens are those of the grey picture, pitch as height and time as width."""
    embeddings = make_encoder().vit.embeddings
    tokenizer = AudioTokenizer(WIDTH, 42, side=14, stride=14)
    tokenizer.start_from_pictures(embeddings)
    mels = torch.randn(2, 42, 126)
    picture = mels.mT[:, None].expand(-1, 3, -1, -1)
    seen = embeddings.patch_embeddings.projection(picture).permute(0, 3, 2, 1)
    torch.testing.assert_close(tokenizer(mels).unflatten(1, (3, 9)) - tokenizer.places, seen, atol=1e-4, rtol=1e-4)
    assert tokenizer.places.shape == (3, 9, WIDTH) and tokenizer.places.std() > 0


def test_a_sound_as_mels_of_fixed_length() -> None:
    seconds = np.arange(16_000) / 16_000
    low, high = (log_mel(np.sin(2 * np.pi * pitch * seconds).astype(np.float32), 64) for pitch in (200, 3000))
    assert low.shape == high.shape == (64, 128)
    assert int(low[10].argmax()) < int(high[10].argmax())
    short = log_mel(np.sin(2 * np.pi * 200 * seconds[:3200]).astype(np.float32), 64)
    assert short.shape == (64, 128) and (short[30:] == short[-1]).all()


# ---- points ----


def test_farthest_and_nearest_points_are_those_of_a_search_one_by_one() -> None:
    places = torch.randn(3, 40, 3, generator=torch.Generator().manual_seed(5))
    chosen, centres = farthest_points(places, 7), torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(6))
    near = nearest_points(places, centres, 6)
    for cloud in range(3):
        mine = [0]
        while len(mine) < 7:
            mine.append(max(range(40), key=lambda point: min(float((places[cloud, point] - places[cloud, one]).norm()) for one in mine)))
        assert chosen[cloud].tolist() == mine
        for centre in range(5):
            order = sorted(range(40), key=lambda point: float((places[cloud, point] - centres[cloud, centre]).norm()))
            assert near[cloud, centre].tolist() == order[:6]


@torch.no_grad()
def test_the_order_of_the_points_behind_the_first_does_not_matter() -> None:
    tokenizer, points = PointTokenizer(WIDTH, 9, 4), signal(Modality.POINT)
    shuffled = torch.cat([points[:, :1], points[:, 1:].flip(1)], 1)
    torch.testing.assert_close(tokenizer(shuffled), tokenizer(points))


# ---- training ----


@pytest.mark.parametrize("modality", Modality)
def test_gradients_reach_the_tokenizer_through_the_frozen_encoder(modality: Modality) -> None:
    encoder, projection = make_encoder(), make_projection()
    projection(encoder(signal(modality), modality), modality).square().sum().backward()
    assert all(weight.grad is None for weight in encoder.vit.parameters())
    own = {name.split(".")[0] for name, weight in encoder.tokenizers.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert own == ({modality.value} if modality in TOKENS else set())
    used = {name for name, weight in projection.named_parameters() if weight.grad is not None}
    assert {name.split(".")[1] for name in used if not name.startswith("projections")} == {modality.value}
    assert {name.split(".")[1] for name in used if name.startswith("projections")} == {"0", "1", "2"}


def test_the_loss_falls_for_one_modality_and_another_keeps_what_is_its_own() -> None:
    """Learnt: to say which of four sounds it is, by a frozen head that stands for the language model."""
    encoder, projection = make_encoder(), make_projection()
    sounds, head = signal(Modality.AUDIO, 4), nn.Linear(QWEN, 4).requires_grad_(False)
    learnt = [weight for weight in (*encoder.parameters(), *projection.parameters()) if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, 1e-3)
    image = projection.queries["image"].detach().clone()
    losses = []
    for _ in range(30):
        said = head(projection(encoder(sounds, Modality.AUDIO), Modality.AUDIO).mean(1))
        loss = nn.functional.cross_entropy(said, torch.arange(4))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0], losses
    assert torch.equal(projection.queries["image"], image)
