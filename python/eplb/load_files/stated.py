"""The shape that loads should have: as stated, or as a model's config.json has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb.engines.hidden_layers import in_words
from eplb.engines.model_config import ModelLayers, moe_layers_of
from eplb.errors import EplbError, LoadError, Parameter, Part
from eplb.inputs.sizes import whole_number
from eplb.load_files.flat import is_flat, what_fits
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


@dataclass(frozen=True)
class Stated:
    """What a user said of the shape; None for what is not known."""

    num_layers: int | None = None
    num_experts: int | None = None
    model: ModelLayers | None = None

    @classmethod
    def of(cls, num_layers: Any, num_experts: Any, config: str | PathLike[str] | None) -> Stated:
        """What these arguments say.

        Raises:
            EplbError, TypeError: one is invalid, or they contradict each other.
            OSError: the config.json cannot be read.
        """
        model = None if config is None else moe_layers_of(config)
        layers = None if num_layers is None else whole_number("num_layers", num_layers, EplbError)
        experts = (
            None if num_experts is None else whole_number("num_experts", num_experts, EplbError)
        )
        if model is not None and experts is None:
            experts = model.num_experts
        elif model is not None and model.num_experts not in (None, experts):
            raise EplbError(
                f"{config} says {count(model.num_experts or 0, 'expert')}, not {experts}",
                hint=["give one of both"],
            )
        return cls(layers, experts, model)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self != Stated()

    @property
    def layers(self) -> tuple[int, ...]:
        """The numbers of layers that loads may have; none if any."""
        if self.num_layers is not None:
            return (self.num_layers,)
        if self.model is not None:
            # Rows of MoE layers or of all, and maybe those of multi-token prediction.
            numbers = (len(self.model.moe), self.model.num_hidden_layers)
            return (*numbers, *(number + len(self.model.mtp) for number in numbers))
        return ()

    def check(
        self,
        layers: int,
        experts: int,
        *,
        named: Sequence[int] | None,
        shape: Sequence[int],
        arranged: bool,
    ) -> None:
        """Refuses loads of another shape, or of other layers.

        Args:
            layers: how many the loads have.
            experts: how many the loads have.
            named: hidden layer of each row; None if it is not known.
            shape: that of the array in the file.
            arranged: whether the user named its axes.

        Raises:
            LoadError: the hint says what the file may be instead.
        """
        wrong_layers = bool(self.layers) and layers not in self.layers
        if not wrong_layers and self.num_experts in (None, experts):
            self._check_named(named)
            return
        by: list[Part] = [" as ", Parameter("config"), " says"] if self.model else [" as stated"]
        raise LoadError(
            f"the loads are {count(layers, 'layer')} x {count(experts, 'expert')}; expected "
            f"{self._words()},",
            *by,
            hint=[] if arranged else self._hint(layers, experts, shape),
        )

    def _check_named(self, named: Sequence[int] | None) -> None:
        if self.model is None or named is None:
            return
        if {*named} <= {*self.model.moe, *self.model.mtp}:
            return
        if len(named) < self.model.num_hidden_layers:
            raise LoadError(
                f"the loads are those of {in_words(named)}, but the MoE layers are "
                f"{self.model.moe}, as ",
                Parameter("config"),
                " says",
            )

    def _words(self) -> str:
        *fewer, most = sorted({*self.layers}) or [0]
        numbers = f"{', '.join(map(str, fewer))} or {most}" if fewer else str(most)
        layers = f"{numbers} {'layer' if numbers == '1' else 'layers'}" if most else ""
        experts = "" if self.num_experts is None else count(self.num_experts, "expert")
        return " x ".join(filter(None, (layers, experts)))

    def _fits(self, layers: int, experts: int) -> bool:
        return (not self.layers or layers in self.layers) and self.num_experts in (None, experts)

    def _hint(self, layers: int, experts: int, shape: Sequence[int]) -> list[Part]:
        """What loads of this other shape may be."""
        wanted = self.num_experts
        if is_flat(shape) and (hint := what_fits(layers * experts, self.layers, wanted)):
            return hint
        if len(shape) == 2 and self._fits(experts, layers):
            return ["is the table transposed? Give ", Parameter("axes", "experts,layers")]
        if len(shape) == 3 and self._fits(shape[0], shape[1] * shape[2]):
            return ["give ", Parameter("axes", "layers,ranks,slots")]
        if self.layers and layers not in self.layers:
            if len(shape) == 3 and shape[0] in self.layers and shape[2] == wanted:
                windows, ranks = (
                    Parameter("axes", f"layers,{name},experts") for name in ("windows", "ranks")
                )
                return [
                    "is the second axis that of windows? Give ",
                    windows,
                    ", or of ranks: ",
                    ranks,
                ]
            if len(shape) == 3 and shape[0] in self.layers:
                axes = Parameter("axes", "layers,ranks,slots")
                return ["are these slots of ranks? Give ", axes, " and ", Parameter("placement")]
            return []
        if wanted is not None and experts == wanted + 1:
            return ["is a column the layer's number, or a fused shared expert? Leave it out"]
        if wanted is not None and wanted < experts <= 2 * wanted:
            return ["are these slots? Give their placement: ", Parameter("placement", "FILE")]
        return []
