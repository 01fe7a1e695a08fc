"""A finished run as a folder to hand on: weights, settings, and a card that says what it is and is not for."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from safetensors.torch import save_file

import cleser
from cleser.corpora.folds import without_folders
from cleser.evaluation.attribute_report import attribute_rows
from cleser.evaluation.numbers_as_text import coverage, decimal, percent
from cleser.evaluation.results import Run
from cleser.evaluation.run_files import (
    CARD,
    EXPORTED,
    EXTRACTOR,
    MODEL,
    ONNX_MODELS,
    RESULTS,
)
from cleser.evaluation.tables import (
    calibration_rows,
    gender_rows,
    robustness_metric,
    robustness_rows,
    trust_notes,
)
from cleser.evaluation.terms import normalised_by, uses_of
from cleser.experiments.export.onnx_model import Input, write_onnx
from cleser.experiments.model_file import read_task, read_tensors
from cleser.experiments.saved import BACKBONE_FOLDER, open_run
from cleser.files import replacing
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.open import pretrained_part
from cleser.speech.backbones.pretrained import TransformersBackbone
from cleser.speech.backbones.spec import BackboneSpec
from cleser.speech.checkpoints import copy_checkpoint


def export(run: Path, out: Path, *, onnx: Input | None = None) -> Path:
    """Write what :func:`cleser.load_model` needs of a run, and what a reader has to know of it.

    The folder holds ``model.safetensors``, ``config.json``, ``results.json``, ``preprocessor_config.json`` (for
    transformers, see :mod:`cleser.experiments.transformers_model`) and ``README.md``, a model card in the form that
    model hubs read. A backbone from the hub is named with its revision; one that was opened from a folder
    comes along, in ``backbone/``. Folders of the corpora and names of speakers stay behind.

    Args:
        run: The folder of a finished run.
        out: The folder to make.
        onnx: Add an ONNX model, ``classifier.onnx`` of "features" or ``recordings.onnx`` of "audio", see
            :mod:`cleser.experiments.export.onnx_model`.

    Returns:
        ``out``.

    Raises:
        ValueError: The run is not finished, or cannot be exported as ONNX, or ``out`` is there and not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; choose another folder")
    finished = Run(run)
    opened = open_run(run)  # refuses what could not be opened again
    backbone = opened.backbone
    settings = _anonymous(finished.settings, backbone)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as parent:
        folder = Path(parent) / out.name
        folder.mkdir()
        _copy_model(run / MODEL, folder / MODEL)
        if BackboneSpec.parse(settings["backbone"]).source == BACKBONE_FOLDER:
            copy_checkpoint(_source(pretrained_part(backbone)), folder / BACKBONE_FOLDER)
        named = {"model_type": "cleser", **settings}  # by which transformers knows it
        (folder / EXPORTED).write_text(json.dumps(named, indent=2) + "\n")
        waveforms = {  # which transformers gives to the model as they are, padded
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "sampling_rate": backbone.rate,
            "do_normalize": False,
            "return_attention_mask": True,
        }
        (folder / EXTRACTOR).write_text(json.dumps(waveforms, indent=2) + "\n")
        (folder / RESULTS).write_text(json.dumps(_without_paths(finished.results), indent=2) + "\n")
        (folder / CARD).write_text(model_card(finished, backbone, onnx=onnx))
        if onnx:
            write_onnx(opened, folder / ONNX_MODELS[onnx], takes=onnx)
        if out.exists():
            out.rmdir()
        shutil.move(folder, out)
    return out


def model_card(run: Run, backbone: Backbone, *, onnx: Input | None = None) -> str:
    """The card of a run, in Markdown with the metadata of model hubs in front."""
    template = files("cleser.experiments.export").joinpath("model_card.md.jinja").read_text()
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "percent": percent,
        "figure": _figure,
        "coverage": coverage,
        "genders": gender_rows,
        "calibration": calibration_rows,
        "trust": trust_notes,
        "normalised": normalised_by,
        "uses": lambda protocol: ", ".join(uses_of(protocol)) or "nothing but its normalisation",
    }
    tested = run.predictions
    known = read_task(run.folder / MODEL)["vocabulary"]
    return environment.from_string(template).render(
        name=f"{run.settings['recipe']}-{'-'.join(run.protocol['source'])}",
        recipe=run.settings["recipe"],
        package=run.settings.get("package"),
        backbone=_described(backbone),
        base_model=_source(pretrained_part(backbone)) if _on_hub(backbone) else None,
        protocol=run.protocol,
        results=run.results,
        scored=run.scored,
        robustness=robustness_rows(run.robustness),
        robustness_metric=robustness_metric(run.robustness),
        attributes=attribute_rows(run.results, run.attributes),
        languages={
            "source": sorted(known["languages"]),
            "target": sorted(tested["language"].dropna().unique()),
        },
        version=cleser.__version__,
        onnx=ONNX_MODELS[onnx] if onnx else None,
        takes=onnx,
    )


def _figure(metric: dict[str, Any]) -> str:
    """A correlation or an error with its interval, as a cell of the card."""
    mean, interval = decimal(metric)
    return mean if interval == "–" else f"{mean} ({interval})"


def _anonymous(settings: dict[str, Any], backbone: Backbone) -> dict[str, Any]:
    """The settings without folders: corpora are named by their reader, the backbone by what can be opened elsewhere."""
    protocol = dict(settings["protocol"])
    for role in ("source", "auxiliary", "target"):
        protocol[role] = [spec.split(":", 1)[0] for spec in protocol[role]]
    protocol["split"] = without_folders(protocol["split"])
    kept = {name: value for name, value in settings.items() if name != "alignments"}
    spec = _portable(settings["backbone"], backbone)
    library = f"cleser {cleser.__version__}"
    return {**kept, "protocol": protocol, "backbone": spec, "library": library}


def _portable(spec: str, backbone: Backbone) -> str:
    """What opens the backbone again, on any machine that has the exported folder."""
    model = pretrained_part(backbone)
    if not isinstance(model, TransformersBackbone):
        return spec
    named = BackboneSpec.parse(spec)
    if not _on_hub(model):
        return str(named.at(BACKBONE_FOLDER))
    return str(named.at(model.source).having("revision", model.revision or None))


def _described(backbone: Backbone) -> str:
    """The backbone for a reader, by name and content."""
    if len(backbone.views) > 1:
        return " and ".join(_described(view) for view in backbone.views)
    if not isinstance(backbone, TransformersBackbone):
        return f"`{backbone.name}`"
    where = f"revision {backbone.revision}, " if backbone.revision else ""
    where = where if _on_hub(backbone) else f"in `{BACKBONE_FOLDER}/`, "
    name = backbone.source if _on_hub(backbone) else Path(backbone.source).name
    layers = ", ".join(map(str, backbone.layers))
    return (
        f"`{name}` ({backbone.family}, {where}layers {layers}, "
        f"SHA-256 of its weights {backbone.fingerprint[:16]}…)"
    )


def _on_hub(backbone: Backbone) -> bool:
    own = pretrained_part(backbone)
    return isinstance(own, TransformersBackbone) and not Path(own.source).is_dir()


def _source(backbone: Backbone) -> str:
    return str(getattr(backbone, "source", backbone.name))


def _without_paths(results: dict[str, Any]) -> dict[str, Any]:
    return {**results, "left_out": len(results["left_out"])}


def _copy_model(source: Path, target: Path) -> None:
    """The weights as they are; of the speakers only how many there were."""
    task = read_task(source)
    vocabulary = task["vocabulary"]
    vocabulary["speakers"] = [f"speaker-{i}" for i in range(len(vocabulary["speakers"]))]
    with replacing(target) as part:
        save_file(read_tensors(source), part, metadata={"task": json.dumps(task), "format": "pt"})
