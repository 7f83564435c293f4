"""One answer of the network, token by token: its key-value cache and the logits of what comes next. It chooses nothing."""

import torch

from unified_demo.model.lora_moe import FFN_PROJECTIONS
from unified_demo.model.multimodal_lm import MultimodalNetwork, ProjectedPicture
from unified_demo.model.passes import switched_off, using_adapters
from unified_demo.model.pointing import agreed
from unified_demo.model.tokens import Tokens


class Decoder:
    """The network's state of one answer: key-value cache, logits of the next token (on the CPU, where the rules work).

    ``frozen``: it is the frozen language model's, which has no tags; ``adapters``: it is that of a set of adapters that has none either.
    """

    def __init__(
        self,
        network: MultimodalNetwork,
        tokens: Tokens,
        projected: dict[str, ProjectedPicture],
        frozen: bool = False,
        adapters: str = "",
    ) -> None:
        from transformers import DynamicCache

        self._network, self._proposals, self._projected = network, tokens.proposals, projected
        self._frozen, self._adapters = frozen, adapters
        self._gates: list[torch.Tensor] = []
        self._cache = DynamicCache(config=network.language_model.config)
        with torch.no_grad(), switched_off(frozen), using_adapters(adapters):
            inputs, injection = network.embed(tokens, projected)
            hidden = network.run(inputs[None], injection[None], past_key_values=self._cache, use_cache=True)[0]
            self._seen = network.proposals(tokens, projected)
            self._ids = list(tokens.ids)
            self._look_ahead(hidden[-1])

    def step(self, token: int) -> None:
        """Feed one chosen token; ``logits`` are then those of the token after it."""
        point = token - self._network.vocab_size - len(self._network.tag_words)
        entry = Tokens()
        entry.add(token, slot=self._proposals[point] if point >= 0 else None)
        with torch.no_grad(), switched_off(self._frozen), using_adapters(self._adapters):
            inputs, injection = self._network.embed(entry, self._projected)
            hidden = self._network.run(inputs[None], injection[None], past_key_values=self._cache, use_cache=True)[0, 0]
            self._ids.append(token)
            self._look_ahead(hidden)

    def rewind(self, count: int, logits: torch.Tensor) -> None:
        """Forget the last ``count`` tokens that were fed; ``logits`` are what they were before those."""
        if count:
            self._cache.crop(-count)
            del self._ids[-count:]
            del self._gates[-count:]
        self.logits = logits

    def gate_usage(self) -> dict[str, float]:
        """Share of each adapter (``gate_0``, ...; they sum to 1), mean over layers and over the prompt and each written token; and
        the same of each layer that has adapters (``layer_14_gate_0``, ...)."""
        if not self._gates:
            return {}
        shares = torch.stack(self._gates).mean(0)
        layers = shares.unflatten(0, (-1, len(FFN_PROJECTIONS))).mean(1)
        first = self._network.language_model.config.num_hidden_layers - len(layers)
        usage = {f"gate_{index}": float(share) for index, share in enumerate(shares.mean(0))}
        for layer, row in enumerate(layers, first):
            usage |= {f"layer_{layer}_gate_{index}": float(share) for index, share in enumerate(row)}
        return usage

    def _look_ahead(self, hidden: torch.Tensor) -> None:
        if not self._frozen:
            gates = [layer.last_gate.flatten(0, -2).mean(0) for layer in self._network.lora_layers if layer.last_gate is not None]
            if gates:
                self._gates.append(torch.stack(gates).float())
        if self._frozen or self._adapters:
            self.logits = self._network.logits(hidden[None], [None], len(self._proposals))[0].cpu()
            self.logits[self._network.vocab_size :] = -torch.inf
            return
        reading = self._network.reading(self._ids, self._seen)
        self.logits = self._network.logits(hidden[None], [reading], len(self._proposals))[0].cpu()
        if reading and (asked := self._network.asked(self._ids, self._seen)) is not None:
            self.logits[-len(asked) :] = agreed(self.logits[-len(asked) :], asked.cpu())
