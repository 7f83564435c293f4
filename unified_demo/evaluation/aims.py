"""The aims of the project's plan, each tied to one figure of one benchmark. Pure values.

``baseline`` names the system whose figure stands beside it as the baseline.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """``figure`` of ``group`` in ``benchmark`` should be at least ``value`` (at most, when ``below``)."""

    what: str
    benchmark: str
    group: str
    figure: str
    value: float
    below: bool = False
    system: str = "model"
    baseline: str = ""

    def reached(self, figure: float) -> bool:
        return figure <= self.value if self.below else figure >= self.value


AIMS = (
    Aim("routing, held-out templates", "routing", "held_out", "all calls", 0.98, baseline="keywords"),
    Aim("routing, hand-written out-of-distribution set", "routing", "ood", "all calls", 0.88, baseline="keywords"),
    Aim("well-formed answers, unconstrained", "routing", "all", "well-formed", 0.99, system="model unconstrained"),
    Aim("well-formed answers, constrained", "routing", "all", "well-formed", 1.0),
    Aim("grounding, composed, held-out objects", "composed", "grounding", "Acc@0.5", 0.80, baseline="template"),
    Aim("grounding, real photos, class targets", "referring", "label+position", "Acc@0.5", 0.88, baseline="template"),
    Aim("grounding, real photos, free expressions", "referring", "free", "Acc@0.5", 0.60, baseline="template"),
    Aim("referring segmentation, real photos", "referring", "label+position", "cIoU", 0.75, baseline="template"),
    Aim("reasoning segmentation, composed", "composed", "reasoning", "gIoU", 0.65, baseline="template"),
    Aim("reasoning segmentation, real photos", "reasoning", "reasoning", "gIoU", 0.50, baseline="template"),
    Aim("NSR-1K layout, spatial", "layout", "spatial", "accuracy", 0.85, baseline="rule"),
    Aim("NSR-1K layout, counting", "layout", "counting", "accuracy", 0.75, baseline="rule"),
    Aim("captions of eval_flickr8k", "captioning", "eval_flickr8k", "CIDEr", 0.30, baseline="template"),
    Aim("artefact reference over 6 turns", "references", "choice", "references", 0.95, baseline="latest"),
    Aim("drawn noun seen at once", "generation", "noun", "top 1", 0.55, system="expert", baseline="cut-outs"),
    Aim("drawn noun among the first five", "generation", "noun", "top 5", 0.80, system="expert", baseline="cut-outs"),
    Aim("colour of what is drawn", "generation", "colour", "colour", 0.85, system="expert", baseline="cut-outs"),
    Aim("number of what is drawn", "generation", "count", "count", 0.70, system="expert", baseline="cut-outs"),
    Aim("layout: box and what appears in it", "generation", "layout", "IoU", 0.60, system="expert", baseline="cut-outs"),
    Aim("layout: phrase seen in its box", "generation", "layout", "top 1", 0.60, system="expert", baseline="cut-outs"),
    Aim(
        "NSR-1K places drawn end to end, boxes by the rule",
        "drawn_layouts",
        "spatial",
        "features",
        0.60,
        system="rule",
        baseline="cut-outs",
    ),
    Aim("removal from real photos: no longer found", "removal", "all", "gone", 0.80, system="expert", baseline="unchanged"),
    Aim("removal from real photos: outside identical", "removal", "all", "outside identical", 1.0, system="expert"),
    Aim("retention on plain chat, mean KL to the base model", "retention", "all", "KL", 0.05, below=True),
)
