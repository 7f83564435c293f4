"""What things of which kind do with each other in photos: who rides, holds, wears or sits on what, and what stands on what.

Labels of the detector (COCO's). It knows no picture.
"""

RIDES = ("horse", "bicycle", "motorcycle", "elephant", "skateboard", "surfboard", "snowboard", "skis", "boat")
HOLDS = (
    "umbrella", "cell phone", "tennis racket", "baseball bat", "frisbee", "remote", "book", "bottle", "cup", "wine glass", "teddy bear",
    "hot dog", "pizza", "donut", "banana", "sandwich", "kite", "handbag", "suitcase", "backpack", "scissors", "toothbrush", "knife",
    "sports ball", "baseball glove", "surfboard", "skateboard", "laptop", "cat", "dog", "cake", "spoon", "fork",
)  # fmt: skip
WORN = ("tie", "backpack", "handbag", "baseball glove")
SEATS = ("chair", "couch", "bench", "bed")
SITTERS = ("person", "cat", "dog", "teddy bear")
CARRIERS = ("dining table", "couch", "bed", "bench", "chair")
SMALL = (
    "cup", "bottle", "bowl", "laptop", "book", "cell phone", "remote", "vase", "potted plant", "cake", "pizza", "sandwich", "banana",
    "apple", "orange", "keyboard", "mouse", "wine glass", "fork", "knife", "spoon", "cat", "dog", "teddy bear", "handbag", "donut",
    "clock", "tv", "carrot", "broccoli", "scissors",
)  # fmt: skip


def deeds(one: str, other: str) -> tuple[str, ...]:
    """What a thing labelled ``one`` may be doing with one labelled ``other`` that it overlaps: "riding", "on", ...; mostly nothing."""
    person = one == "person"
    rows = (
        ("riding", person and other in RIDES),
        ("wearing", person and other in WORN),
        ("holding", person and other in HOLDS and other not in ("cat", "dog")),  # they rather stand before somebody
        ("sitting on", one in SITTERS and other in SEATS),
        ("on", one in SMALL and other in CARRIERS),
    )
    return tuple(word for word, fits in rows if fits)
