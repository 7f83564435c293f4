"""Sounds for a frozen language model at the tests' size: clips and their features, learning to tell them, resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_model import make_tokenizer
from transformers import Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM

from unified_demo.errors import MediaError
from unified_demo.training.hearing.__main__ import main
from unified_demo.training.hearing.clips import cached_features, features_of, make_encoder, read_clips
from unified_demo.training.hearing.trainer import Heard, HearingOptions, HearingTrainer, make_projection, measure, nearest_class

CAPTIONS = ("a dog barks", "a clock ticks", "rain falls")
OPTIONS = HearingOptions(steps=40, batch=6, lr=1e-2, warmup_steps=2)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for number, kind in enumerate(("001 - Dog bark", "005_-_Clock_tick")):
        (tmp_path / "esc10" / kind).mkdir(parents=True)
        wave = np.sin(np.arange(8000) * (0.1 + number)).astype(np.float32) * 0.5
        for fold in (1, 5):
            soundfile.write(tmp_path / "esc10" / kind / f"{fold}-1-A.ogg", wave, 16_000)
    return tmp_path / "esc10"


def heard(count: int, seed: int) -> Heard:
    """Sounds of three kinds, each about a direction of its own."""
    kinds = torch.randn(len(CAPTIONS), 24, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(count, 5, 24, generator=torch.Generator().manual_seed(seed))
    return Heard(noise * 0.3 + kinds[[place % 3 for place in range(count)], None], [CAPTIONS[place % 3] for place in range(count)])


def make_trainer(folder: Path, options: HearingOptions = OPTIONS) -> HearingTrainer:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, initializer_range=0.2
    )
    language_model = LlamaForCausalLM(config).eval()
    projection = make_projection(language_model, 24, queries=4, projections=2, blocks=1)
    return HearingTrainer(language_model, tokenizer, projection, heard(24, 1), options, folder)


def test_clips_have_captions_and_folds_and_their_features_are_kept(sounds: Path, tmp_path: Path) -> None:
    clips = read_clips(sounds)
    assert [(clip.caption, clip.fold) for clip in clips] == [(caption, fold) for caption in CAPTIONS[:2] for fold in (1, 5)]
    config = Dinov2Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    encoder = make_encoder(Dinov2Model(config))
    features = cached_features(encoder, clips, tmp_path / "out" / "features.safetensors")
    assert features.shape == (4, 1 + 7 * 3, 24)
    assert torch.equal(features[0], features[1]) and not torch.allclose(features[0], features[2], atol=1e-3)
    kept = cached_features(None, clips, tmp_path / "out" / "features.safetensors")  # type: ignore[arg-type]
    assert torch.equal(kept, features)
    soundfile.write(clips[0].path, np.zeros(100, np.float32), 8000)
    with pytest.raises(MediaError, match="8000 samples a second; 16000 are needed"):
        features_of(encoder, clips[0])


def test_what_is_no_esc10_is_said(sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sounds", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 1
    assert "no clips" in capsys.readouterr().err
    (sounds / "001 - Dog bark").rename(sounds / "001 - Cow")
    with pytest.raises(MediaError, match="no class of ESC-10; classes are dog bark, rain"):
        read_clips(sounds)


def test_it_learns_to_tell_what_is_heard_and_the_language_model_stays(tmp_path: Path) -> None:
    trainer, asked = make_trainer(tmp_path), heard(12, 2)
    before = {name: tensor.clone() for name, tensor in trainer.language_model.state_dict().items()}
    losses: list[float] = []
    trainer.run(lambda figures: losses.append(figures["loss"]))
    assert losses[-1] < 0.5 * losses[0], losses
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.language_model.state_dict().items())
    assert measure(trainer, asked, CAPTIONS) == list(asked.captions)
    others = Heard(asked.features.roll(1, 0), asked.captions)
    assert not any(found == right for found, right in zip(measure(trainer, others, CAPTIONS), asked.captions, strict=True))
    assert nearest_class(trainer.heard, asked) == list(asked.captions)


def test_queries_are_aligned_with_words_without_the_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, asked = make_trainer(tmp_path, replace(OPTIONS, align_steps=40, align_batch=12)), heard(12, 2)
    monkeypatch.setattr(trainer.language_model, "forward", lambda **_: pytest.fail("the language model ran"))
    parts: list[str] = []
    trainer.run(lambda figures: parts.append(figures["part"]))
    assert parts == ["align"] * 40
    table = trainer.language_model.get_input_embeddings().weight[trainer.words]
    with torch.no_grad():
        alike = torch.nn.functional.cosine_similarity(trainer.embeddings(asked.features)[:, :, None], table, dim=-1)
    assert alike.amax(-1).mean() > 0.8, "close enough to be read as words"
    for nearest, caption in zip(alike.argmax(-1).tolist(), asked.captions, strict=True):
        meant = trainer.ids(caption)[:4]
        assert [trainer.words[place] for place in nearest] == [*meant, *[trainer.tokenizer.eos_token_id] * (4 - len(meant))], caption


def test_nats_of_a_caption_do_not_depend_on_what_stands_beside_it(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        sounds = trainer.embeddings(trainer.heard.features[:3])
        together = trainer.nats(sounds, CAPTIONS)
        alone = torch.cat([trainer.nats(sounds[place : place + 1], [caption]) for place, caption in enumerate(CAPTIONS)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("align_steps", [0, 2])
def test_an_interrupted_run_ends_the_same(tmp_path: Path, align_steps: int) -> None:
    options = replace(OPTIONS, steps=4, align_steps=align_steps)
    whole = make_trainer(tmp_path / "whole", options)
    losses: list[dict] = []
    whole.run(losses.append)
    begun = make_trainer(tmp_path / "parts", options)
    begun.train_step()
    begun.save()
    rest: list[dict] = []
    make_trainer(tmp_path / "parts", options).run(rest.append)
    assert [row["loss"] for row in rest] == [row["loss"] for row in losses[1:]]
