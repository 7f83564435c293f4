"""The few words before a call that say no more than that it comes: training writes them, and decoding knows them again."""

from unified_demo.grammar import Task

PROMISES: dict[Task, tuple[str, ...]] = {
    Task.IMAGE_GENERATION: ("I will draw it.", "Here you are."),
    Task.LAYOUT_GENERATION: ("I will place them like this.", "Here is the arrangement."),
    Task.VIDEO_GENERATION: ("I will film it.", "Here is the clip."),
    Task.AUDIO_GENERATION: ("Here is the sound.", "Listen."),
    Task.IMAGE_TO_VIDEO: ("I will animate it.", "Here it moves."),
    Task.IMAGE_EDITING: ("Here you are.", "I will change it."),
    Task.REASONING_EDITING: ("Here you are.",),
    Task.VIDEO_EDITING: ("Here you are.", "I will change the clip."),
}  # fmt: skip
"""By task. Outlines have none: they point first."""
PROMISES_OF_SEVERAL = {2: "I will do both.", 3: "I will do all three."}
"""By the number of calls."""
CANNOT_SEE = "I cannot see"
"""So an answer begins when what is asked for is not among the proposals; the rest is the network's."""
