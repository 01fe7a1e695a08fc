"""What is trained: a recipe and, from audio, the encoder of its batches."""

from __future__ import annotations

from torch import Tensor, nn

from cleser.models.batch import Batch
from cleser.speech.backbones.fine_tuning import load_trained, trained_tensors
from cleser.training.audio import AudioEncoder, WaveformBatch
from cleser.training.dataset import Dataset
from cleser.training.recipe import FoundLabels, Recipe
from cleser.training.sharding import distribute_like, full_tensor


class Learner(nn.Module):
    """A recipe and, from audio, the encoder of its batches, which are trained together.

    The step stands behind ``forward``, where distributed wrappers look for it.
    """

    def __init__(self, recipe: Recipe, encoder: AudioEncoder | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = encoder

    def forward(
        self, source: Batch | WaveformBatch, target: Batch | WaveformBatch | None
    ) -> dict[str, Tensor]:
        """A step's loss and its terms."""
        return self.recipe.step(
            self._encoded(source), None if target is None else self._encoded(target)
        )

    def _encoded(self, batch: Batch | WaveformBatch) -> Batch:
        if isinstance(batch, Batch):
            return batch
        assert self.encoder is not None  # recordings come from datasets that have an encoder
        encoded: Batch = self.encoder(batch)
        return encoded

    def sees(self, dataset: Dataset) -> Dataset:
        """The same utterances, encoded by this learner's encoder where they are recordings."""
        return dataset if self.encoder is None else dataset.encoded_by(self.encoder)

    def found(self) -> dict[str, Tensor]:
        """Labels that training has found, by name."""
        return {n: t.cpu().contiguous() for n, t in self.recipe.found.tensors().items()}

    def load_found(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`found` gave."""
        self.recipe.found = FoundLabels.of(tensors)

    def weights(self) -> dict[str, Tensor]:
        """Copies on the CPU of everything that training changes."""
        found = dict(self.recipe.state_dict())
        if self.encoder is not None:
            found |= {f"encoder:{n}": t for n, t in trained_tensors(self.encoder.backbone)}
        return {n: full_tensor(t.detach()).cpu().clone().contiguous() for n, t in found.items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Put back what :meth:`weights` gave.

        Raises:
            ValueError: The backbone is another one, or is tuned in another way.
        """
        encoder = {n: t for n, t in weights.items() if n.startswith("encoder:")}
        self.recipe.load_state_dict({n: t for n, t in weights.items() if n not in encoder})
        if self.encoder is not None:
            backbone = self.encoder.backbone
            placed = backbone.state_dict()
            tensors = {n.split(":", 1)[1]: t for n, t in encoder.items()}
            spread = {n: distribute_like(t, placed.get(n, t)) for n, t in tensors.items()}
            load_trained(backbone, spread)
