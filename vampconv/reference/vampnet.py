"""VampNet's transformer, state-dict compatible with the original.

The original is hugofloresgarcia/vampnet at commit 72e2675, and at 09b9691 for models conditioned on r.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vampconv.errors import BadInputError
from vampconv.reference.config import VampNetConfig
from vampconv.reference.embedding import CodebookEmbedding, ControlEncoder, r_embedding
from vampconv.reference.layers import LoRALinear, WeightNormConv1d
from vampconv.reference.loading import fine_tune_pairs, load_strictly, without_prefix
from vampconv.reference.transformer import TransformerStack


class Classifier(nn.Module):
    """Rows `v * n_predict + c` of a 1x1 convolution: the scores of token v in predicted codebook c."""

    def __init__(self, config: VampNetConfig) -> None:
        super().__init__()
        rows = config.vocab_size * config.n_predict
        self.layers = nn.ModuleList([WeightNormConv1d(config.embedding_dim, rows)])

    def forward(self, x: Tensor) -> Tensor:
        """[batch, dim, time] -> [batch, vocab * n_predict, time]."""
        scores: Tensor = self.layers[0](x)
        return scores


class VampNetReference(nn.Module):
    """A VampNet for inference; build one with `from_state_dict`.

    Parameters
    ----------
    config
        The architecture.
    adapted
        Whether all linears that can carry a LoRA pair do.

    """

    def __init__(self, config: VampNetConfig, *, adapted: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embedding = CodebookEmbedding(config)
        self.transformer = TransformerStack(config, adapted=adapted)
        self.classifier = Classifier(config)
        if config.ctrl_dims:
            self.ctrl_encoder = ControlEncoder(config.ctrl_dims, config.embedding_dim)
        self.train(False)

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Tensor],
        kwargs: Mapping[str, Any],
        codec_tables: Sequence[Tensor],
        lora: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> VampNetReference:
        """Build the model of a checkpoint, in evaluation mode and without gradients.

        Parameters
        ----------
        state
            Names to tensors; LoRA pairs may be there or not. Tensors that already have `dtype` are shared.
        kwargs
            The checkpoint's `metadata["kwargs"]`.
        codec_tables
            The codec's tables [vocab_size, latent_dim], at least one for each codebook.
        lora
            A fine-tune: LoRA pairs that take the place of the base's.
        dtype
            What to compute in.

        Raises
        ------
        BadInputError
            A tensor is missing, unexpected, half a pair, or of the wrong shape.
        UnsupportedModelError
            The original could not run this model.

        """
        with torch.device("meta"):
            model = cls(VampNetConfig.from_kwargs(kwargs))
        tensors = without_prefix(state)
        if lora is not None:
            tensors |= fine_tune_pairs(lora, model.state_dict())
        model._drop_absent_pairs(tensors)
        load_strictly(model, {name: tensor.to(dtype) for name, tensor in tensors.items()})
        model._set_tables([table.to(dtype) for table in codec_tables])
        return model.requires_grad_(False)

    def latents(self, codes: Tensor) -> Tensor:
        """Codec latents [batch, n_codebooks * latent_dim, time] of `codes` int64 [batch, n_codebooks, time].

        Codes run from 0 to vocab_size, which is the mask token.
        """
        return self.embedding.from_codes(codes, self.codec_tables)

    @property
    def codec_tables(self) -> list[Tensor]:
        return [self.get_buffer(f"codec_table_{i}") for i in range(self.config.n_codebooks)]

    def r_embed(self, r: Tensor) -> Tensor:
        """Condition [batch, r_cond_dim] of the masking ratio `r` [batch], from float32 arithmetic."""
        return r_embedding(r, self.config.r_cond_dim).to(self.embedding.out_proj.weight.dtype)

    def forward_latents(
        self,
        latents: Tensor,
        r: Tensor | None = None,
        ctrls: Mapping[str, Tensor] | None = None,
        ctrl_masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Logits [batch, vocab, time * n_predict], codebook fastest, from latents as `latents` gives them.

        `r` [batch] is for FiLM models; `ctrls` [batch, size, time] and `ctrl_masks` [batch, time] for control
        models, by name.
        """
        x: Tensor = self.embedding(latents)
        if self.config.ctrl_dims:
            x = x + self.ctrl_encoder(ctrls or {}, ctrl_masks or {})
        condition = self.r_embed(r) if self.config.r_cond_dim and r is not None else None
        x = self.transformer(x.transpose(1, 2), condition)
        scores: Tensor = self.classifier(x.transpose(1, 2))
        batch, _, time = scores.shape
        by_codebook = scores.reshape(batch, self.config.vocab_size, self.config.n_predict, time)
        return by_codebook.transpose(2, 3).flatten(2)

    def forward(
        self,
        codes: Tensor,
        r: Tensor | None = None,
        ctrls: Mapping[str, Tensor] | None = None,
        ctrl_masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Logits [batch, vocab, time * n_predict] of `codes`; see `latents` and `forward_latents`."""
        return self.forward_latents(self.latents(codes), r, ctrls, ctrl_masks)

    def merge_lora(self) -> None:
        """Fold every LoRA pair into its weight, as the original does when it enters evaluation mode."""
        for module in self.modules():
            if isinstance(module, LoRALinear):
                module.merge()

    def _drop_absent_pairs(self, names: Mapping[str, Tensor]) -> None:
        for path, module in self.named_modules():
            if isinstance(module, LoRALinear) and not {f"{path}.lora_A", f"{path}.lora_B"} & names.keys():
                module.lora_A = module.lora_B = None

    def _set_tables(self, tables: Sequence[Tensor]) -> None:
        n, shape = self.config.n_codebooks, (self.config.vocab_size, self.config.latent_dim)
        if len(tables) < n:
            raise BadInputError(f"the codec has {len(tables)} codebooks, the model {n}", "give its own codec")
        for i, table in enumerate(tables[:n]):
            if table.shape != shape:
                found = list(table.shape)
                raise BadInputError(f"codec table {i} is {found}, not {list(shape)}", "give its own codec")
            self.register_buffer(f"codec_table_{i}", table, persistent=False)
