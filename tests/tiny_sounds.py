"""Tiny random checkpoints of the sound models in the hub's layout: Auffusion, AudioLDM 2, Stable Audio."""

import json
from pathlib import Path

import diffusers
import torch
from tiny_films import t5_tokenizer
from tiny_pipelines import write_pipeline
from tokenizers import ByteLevelBPETokenizer
from torch.nn.utils import weight_norm
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2Model,
    RobertaTokenizerFast,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)

WIDTH = 32


def auffusion(folder: Path, **vocoder: object) -> Path:
    """As ``auffusion/auffusion-full-no-adapter``: Stable Diffusion and a HiFi-GAN with normalised weights in a pickle."""
    write_pipeline(folder, "StableDiffusionPipeline")
    described = {
        "resblock": "1", "num_mels": 256, "sampling_rate": 16000, "upsample_rates": [5, 4, 2, 2, 2],
        "upsample_kernel_sizes": [11, 8, 4, 4, 4], "upsample_initial_channel": 32, "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]], **vocoder,
    }  # fmt: skip
    torch.manual_seed(0)
    config = SpeechT5HifiGanConfig(
        model_in_dim=described["num_mels"], normalize_before=False,
        **{name: described[name] for name in described if name not in ("resblock", "num_mels")},
    )  # fmt: skip
    network = SpeechT5HifiGan(config)
    for module in list(network.modules()):
        if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            torch.nn.init.normal_(module.weight, std=0.2)
            weight_norm(module)
    state = {name.replace("upsampler.", "ups."): value for name, value in network.state_dict().items() if name not in ("mean", "scale")}
    (folder / "vocoder").mkdir()
    (folder / "vocoder" / "config.json").write_text(json.dumps(described))
    torch.save({"generator": state}, folder / "vocoder" / "vocoder.pt")
    return folder


def audioldm2(folder: Path) -> Path:
    """As ``cvssp/audioldm2``: its index names GPT2Model."""
    torch.manual_seed(0)
    unet = diffusers.AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8, sample_size=32, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(8, 16), attention_head_dim=8,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=[8, 16], in_channels=1, out_channels=1, norm_num_groups=8, down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4,
    )  # fmt: skip
    text = {
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 400, "pad_token_id": 1,
        "max_position_embeddings": 80, "projection_dim": 8, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    sound = {
        "spec_size": 8, "window_size": 4, "num_mel_bins": 8, "depths": [1, 1], "num_attention_heads": [1, 1], "num_hidden_layers": 2,
        "patch_embeds_hidden_size": 8, "hidden_size": 16, "projection_dim": 8,
    }  # fmt: skip
    clap = ClapModel(ClapConfig(text_config=text, audio_config=sound, projection_dim=8))
    t5 = T5EncoderModel(T5Config(vocab_size=64, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=4))
    gpt2 = GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, n_ctx=99, n_positions=99, vocab_size=99))
    gpt2.config.max_new_tokens = 8
    voice = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[10, 16], upsample_kernel_sizes=[20, 32],
            resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]], normalize_before=False,
        )
    )  # fmt: skip
    projection = diffusers.AudioLDM2ProjectionModel(text_encoder_dim=8, text_encoder_1_dim=16, langauge_model_dim=16)
    steps = diffusers.DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False)
    pipe = diffusers.AudioLDM2Pipeline(
        vae, clap, t5, projection, gpt2, roberta_tokenizer(folder), t5_tokenizer(), ClapFeatureExtractor(feature_size=8, hop_length=7000),
        unet, steps, voice,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def roberta_tokenizer(folder: Path) -> RobertaTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(["rain on a roof"], vocab_size=300, special_tokens=special, show_progress=False)
    trained.save(str(folder / "roberta.json"))
    return RobertaTokenizerFast(tokenizer_file=str(folder / "roberta.json"), model_max_length=77)


def stable_audio(folder: Path) -> Path:
    """As ``stabilityai/stable-audio-open-1.0``: its index names a scheduler that needs torchsde."""
    torch.manual_seed(0)
    transformer = diffusers.StableAudioDiTModel(
        sample_size=64, in_channels=4, num_layers=1, attention_head_dim=4, num_key_value_attention_heads=2, out_channels=4,
        cross_attention_dim=16, time_proj_dim=4, global_states_input_dim=32, cross_attention_input_dim=16, num_attention_heads=2,
    )  # fmt: skip
    vae = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6, downsampling_ratios=[1, 2], decoder_channels=3, decoder_input_channels=4, audio_channels=2,
        channel_multiples=[2, 4], sampling_rate=16,
    )  # fmt: skip
    projection = diffusers.pipelines.stable_audio.StableAudioProjectionModel(
        text_encoder_dim=16, conditioning_dim=16, min_value=0, max_value=32
    )
    t5 = T5EncoderModel(T5Config(vocab_size=64, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=4))
    solver = diffusers.EDMDPMSolverMultistepScheduler(
        sigma_min=0.3, sigma_max=500, sigma_data=1.0, sigma_schedule="exponential", prediction_type="v_prediction"
    )
    pipe = diffusers.StableAudioPipeline(vae, t5, projection, t5_tokenizer(), transformer, solver)
    pipe.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "CosineDPMSolverMultistepScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    settings = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    settings["_class_name"] = "CosineDPMSolverMultistepScheduler"
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    return folder
