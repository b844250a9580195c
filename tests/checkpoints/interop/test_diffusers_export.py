"""Folders written for diffusers, held against the classes that they are written for."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from unclip.checkpoints.interop.diffusers_export import export_diffusers
from unclip.checkpoints.load import load, open_model
from unclip.checkpoints.store import Opened, build, named_networks, save_system
from unclip.checkpoints.tensors import held
from unclip.diffusion.driver import drive, finish
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError, RequestError
from unclip.images import from_pil
from unclip.pipelines.stages import encode_text_padded
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.pipelines.variations import Variations, variations
from unclip.system import Stage, System

tiny_diffusers = pytest.importorskip("tiny_diffusers")
diffusers, transformers = tiny_diffusers.diffusers, tiny_diffusers.transformers

LIBRARIES = {"diffusers": diffusers, "transformers": transformers, "unclip": tiny_diffusers.text_proj}
SENTENCES = ["A red  cube on a blue cube!", "<end> of <pad>", "", "apple " * 40]
SEEDS = (7, 8)
# Of pixels from 0 to 1. Where weights lie in memory decides how sums are rounded, and where hardly any signal
# is left, x0 is what x_t and eps differ by, times 20,000: now and then a pixel shows it.
SAME = 2 / 255
PICTURE = Image.effect_mandelbrot((32, 32), (-2, -1.2, 1, 1.2), 60).convert("RGB")
Parts = dict[str, Any]


def listed(folder: Path) -> dict[str, list[str]]:
    """Return library and class of each component, by the folder's own list."""
    index = json.loads((folder / "model_index.json").read_text())
    return {name: where for name, where in index.items() if isinstance(where, list)}


def components(folder: Path) -> Parts:
    """Load what the folder lists, and the image tower that may lie beside."""
    classes = {name: getattr(LIBRARIES[library], kind) for name, (library, kind) in listed(folder).items()}
    if (folder / "image_encoder").is_dir():
        classes["image_encoder"] = transformers.CLIPVisionModelWithProjection
        classes["feature_extractor"] = transformers.CLIPImageProcessor
    return {name: kind.from_pretrained(folder, subfolder=name) for name, kind in classes.items()}


def theirs(kind: str, parts: Parts, **settings: Any) -> Tensor:
    """Draw with a pipeline of diffusers, a picture for each seed."""
    pipeline = getattr(tiny_diffusers.pipelines, kind)
    pipe = pipeline(**{name: parts[name] for name in pipeline.__init__.__annotations__ if name in parts})
    pipe.set_progress_bar_config(disable=True)
    noise = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    steps = {"decoder_num_inference_steps": 3, "super_res_num_inference_steps": 3}
    drawn = pipe(num_images_per_prompt=len(SEEDS), generator=noise, output_type="np", **steps, **settings)
    return torch.from_numpy(drawn.images)


def of_sentence_theirs(parts: Parts) -> Tensor:
    return theirs("UnCLIPPipeline", parts, prompt=SENTENCES[0], prior_num_inference_steps=4)


def of_picture_theirs(parts: Parts) -> Tensor:
    return theirs("UnCLIPImageVariationPipeline", parts, image=PICTURE)


def ours(plan: Any) -> Tensor:
    """Draw with unclip, in the form that pipelines give pictures in."""
    return (finish(drive(plan)) * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


def of_sentence(system: System) -> Tensor:
    settings: Any = {"n": 2, "seed": SEEDS[0], "steps": 3, "upsampler_steps": 3, "rng": "diffusers"}
    scales = {"guidance_scale": 8.0, "prior_guidance_scale": 4.0}
    return ours(text_to_image(system, TextToImage(SENTENCES[0], prior_steps=4, **scales, **settings)))


def farthest(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item()


def written(system: System, folder: Path) -> Path:
    """Save a system, and write it for diffusers."""
    save_system(folder / "ours", system)
    export_diffusers(open_model(folder / "ours"), folder / "theirs")
    return folder / "theirs"


def opened(system: System) -> Opened:
    """Return a system in memory as one that was looked into."""
    networks = named_networks(system)
    return Opened(system, {name: held(name, network.state_dict()) for name, network in networks.items()})


def stages_of(system: System) -> list[Stage[Any]]:
    assert system.prior is not None
    assert system.decoder is not None
    return [system.prior, system.decoder, system.upsamplers[0]]


@pytest.fixture(scope="module", params=["sentences", "variations"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny folder of either pipeline, as diffusers saves it; the last stage does not clamp x0."""
    folder = tmp_path_factory.mktemp("foreign") / "theirs"
    tiny_diffusers.build(folder, variations=request.param == "variations")
    changes = {
        "model_index.json": {"text_proj": ["unclip", "UnCLIPTextProjModel"]},  # as in Karlo's
        "super_res_scheduler/scheduler_config.json": {"clip_sample": False},
    }
    for file, change in changes.items():
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
    return folder


@pytest.fixture(scope="module")
def again(foreign: Path) -> Path:
    """The same folder after it went through unclip."""
    out = foreign.with_name("again")
    assert export_diffusers(open_model(foreign), out) == []
    return out


@pytest.fixture(scope="module")
def folder(karlo_like: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of our own, written for diffusers."""
    return written(karlo_like, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def parts(folder: Path) -> Parts:
    return components(folder)


def test_a_folder_of_diffusers_comes_back_tensor_by_tensor(foreign: Path, again: Path) -> None:
    files = {path.relative_to(foreign) for path in foreign.rglob("*.safetensors")}
    assert files == {path.relative_to(again) for path in again.rglob("*.safetensors")}
    for file in files:
        before, after = load_file(foreign / file), load_file(again / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before), file


def config_of(part: Any) -> dict[str, Any]:
    values = part.to_dict() if hasattr(part, "to_dict") else dict(part)
    return {name: value for name, value in values.items() if name[0] != "_" and name != "dtype"}


def test_a_folder_of_diffusers_comes_back_field_by_field(foreign: Path, again: Path) -> None:
    # Without torchvision, a class is saved by another name.
    named = {part: [library, kind.removesuffix("Pil")] for part, (library, kind) in listed(foreign).items()}
    assert listed(again) == named
    before, after = components(foreign), components(again)
    known = {"bos_token_id": 513, "eos_token_id": 514, "pad_token_id": 0}  # what was said was wrong
    for name in before.keys() - {"tokenizer", "feature_extractor", "text_encoder"}:
        assert config_of(after[name].config) == config_of(before[name].config)
    assert config_of(after["text_encoder"].config) == config_of(before["text_encoder"].config) | known
    for name in before.keys() & {"feature_extractor"}:
        assert config_of(after[name]) == config_of(before[name])
    assert after["tokenizer"](SENTENCES).input_ids == before["tokenizer"](SENTENCES).input_ids


def test_what_came_back_draws_the_same(foreign: Path, again: Path) -> None:
    draw = of_sentence_theirs if (foreign / "prior").is_dir() else of_picture_theirs
    pictures = draw(components(again))
    assert pictures.std() > 0.1
    assert farthest(pictures, draw(components(foreign))) <= SAME


@torch.no_grad()
def test_every_network_of_our_own_runs_to_the_same_numbers(karlo_like: System, parts: Parts) -> None:
    text = encode_text_padded(karlo_like.clip, karlo_like.tokenizer, SENTENCES)
    tokens = parts["tokenizer"](SENTENCES, padding="max_length", truncation=True, return_tensors="pt")
    encoded = parts["text_encoder"](tokens.input_ids)
    assert torch.equal(tokens.attention_mask.bool(), text["text_mask"])
    assert farthest(encoded.text_embeds, text["text_embed"]) <= 1e-5
    assert farthest(encoded.last_hidden_state, text["text_encodings"]) <= 1e-5

    image_embed = parts["image_encoder"](
        **parts["feature_extractor"](PICTURE, return_tensors="pt")
    ).image_embeds
    assert farthest(image_embed, karlo_like.clip.encode_image(from_pil([PICTURE]))) <= 1e-5

    prior, decoder, upsampler = (stage.network for stage in stages_of(karlo_like))
    z, t = torch.randn(4, 32), torch.tensor([0, 1, 500, 999])
    there = {"proj_embedding": text["text_embed"], "encoder_hidden_states": text["text_encodings"]}
    found = parts["prior"](z, t, **there, attention_mask=text["text_mask"]).predicted_image_embedding
    assert farthest(found, prior(z, t, **text)) <= 1e-5
    assert farthest(parts["prior"].post_process_latents(z), prior.unwhiten(z)) <= 1e-5

    x = torch.randn(4, 3, 16, 16)
    present = torch.tensor([False, False, True, True])  # the first half is guidance's
    context, added = parts["text_proj"](
        image_embeddings=z[2:],
        prompt_embeds=text["text_embed"],
        text_encoder_hidden_states=text["text_encodings"],
        do_classifier_free_guidance=True,
    )
    seen = torch.nn.functional.pad(text["text_mask"], (3, 0), value=True)
    found = parts["decoder"](x, t, context, class_labels=added, attention_mask=seen).sample
    assert farthest(found, decoder(x, t, z, present, **text)) <= 1e-5

    x, low_res = torch.randn(4, 3, 32, 32), torch.randn(4, 3, 16, 16)
    enlarged = torch.nn.functional.interpolate(low_res, (32, 32), mode="bicubic", antialias=True)
    for name in ("super_res_first", "super_res_last"):
        found = parts[name](torch.cat([x, enlarged], dim=1), t).sample
        assert farthest(found, upsampler(x, t, low_res)) <= 1e-5


def test_a_model_of_our_own_draws_the_same(karlo_like: System, folder: Path, parts: Parts) -> None:
    pictures = of_sentence_theirs(parts)
    assert pictures.std() > 0.1
    assert farthest(pictures, of_sentence(karlo_like)) <= SAME
    assert farthest(pictures, of_sentence(load(folder, device="cpu"))) <= SAME
    assert listed(folder)["tokenizer"] == ["transformers", "PreTrainedTokenizerFast"]


def test_a_model_without_a_prior_draws_variations_alike(karlo_like: System, tmp_path: Path) -> None:
    system = replace(karlo_like, prior=None)
    parts = components(written(system, tmp_path))
    request = Variations(
        PICTURE, 2, SEEDS[0], fresh=True, steps=3, guidance_scale=8.0, upsampler_steps=3, rng="diffusers"
    )
    pictures = of_picture_theirs(parts)
    assert pictures.std() > 0.1
    assert farthest(pictures, ours(variations(system, request))) <= SAME
    assert {"image_encoder", "feature_extractor"} <= listed(tmp_path / "theirs").keys()


def test_a_decoder_of_fixed_variance_is_told_it(karlo_like: System, tmp_path: Path) -> None:
    assert karlo_like.decoder is not None
    config = karlo_like.decoder.network.config
    network: Any = build("decoder", replace(config, unet=replace(config.unet, out_channels=3))).eval()
    process = replace(karlo_like.decoder.process.config, variance="fixed", prediction="x0")
    decoder = Stage(network, Process(process), karlo_like.decoder.defaults)
    system = replace(karlo_like, decoder=decoder)
    pictures = of_sentence_theirs(components(written(system, tmp_path)))
    assert farthest(pictures, of_sentence(system)) <= SAME


def test_one_network_for_all_steps_is_written_twice(folder: Path) -> None:
    first, last = (
        (folder / name / "diffusion_pytorch_model.safetensors").read_bytes()
        for name in ("super_res_first", "super_res_last")
    )
    assert first == last


def test_weights_of_one_byte_are_written_as_floats(karlo_like: System, tmp_path: Path) -> None:
    save_system(tmp_path / "ours", karlo_like, int8=True)
    export_diffusers(open_model(tmp_path / "ours"), tmp_path / "theirs")
    kinds = {t.dtype for path in tmp_path.glob("theirs/*/*.safetensors") for t in load_file(path).values()}
    assert kinds == {torch.float32}
    loaded = load(tmp_path / "ours", device="cpu")
    assert farthest(of_sentence_theirs(components(tmp_path / "theirs")), of_sentence(loaded)) <= SAME


def test_what_diffusers_has_no_place_for_is_named(
    karlo_like: System, ar_system: System, distilled_system: System, tmp_path: Path
) -> None:
    system = replace(
        karlo_like,
        prior_ar=ar_system.prior_ar,
        distilled=distilled_system.distilled,
        upsamplers=(*karlo_like.upsamplers, *ar_system.upsamplers[1:]),
    )
    told = list[tuple[str, int, int]]()
    left_out = export_diffusers(opened(system), tmp_path / "out", lambda *progress: told.append(progress))
    assert sorted(left_out) == ["distilled", "prior_ar", "upsampler1024"]
    assert [done == of for _, done, of in told] == [False, True] * 7
    assert of_sentence(load(tmp_path / "out", device="cpu")).shape == (2, 32, 32, 3)


def test_the_page_tells_how_to_load_it(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert page.startswith("---\nlicense: cc-by-4.0\n")
    assert "Licence: CC BY 4.0" in page
    assert "- decoder: nothing" in page
    assert load(folder, device="cpu").card.licence == "cc-by-4.0"
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = re.sub(r"steps=\d+", "steps=2", program.replace("FOLDER", str(folder)))
    names = dict[str, Any]()
    exec(program, names)  # the page's own example
    assert names["image"].size == (32, 32)


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_is_there_stays(karlo_like: System, tmp_path: Path, there: str) -> None:
    kept = tmp_path / "out" / "kept" if there == "folder" else tmp_path / "out"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(RequestError, match="out is there already"):
        export_diffusers(opened(karlo_like), tmp_path / "out")
    assert kept.read_text() == "mine"


def test_a_model_that_cannot_be_read_leaves_nothing(karlo_like: System, tmp_path: Path) -> None:
    save_system(tmp_path / "ours", karlo_like)
    torn = open_model(tmp_path / "ours")
    path = tmp_path / "ours" / "decoder" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="half-downloaded"):
        export_diffusers(torn, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_the_bundled_model_is_refused_with_all_reasons(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        export_diffusers(open_model("bundled"), tmp_path / "out")
    line = str(refused.value)
    assert line.startswith("unclip bundled is not a model that diffusers can hold: clip.normalize is True")
    for field in ("text_depth", "embed_scale", "unet.patch_size", "unet.place_width"):
        assert f"decoder.{field} is " in line
    for field in ("residual", "unet.patch_size"):
        assert f"upsampler256.{field} is " in line
    assert not list(tmp_path.iterdir())
