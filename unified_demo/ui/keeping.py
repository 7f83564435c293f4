"""What is kept of a visit, as JSON: questions as they were sent, answers as the events that made them; and back again.

Where it is kept is ``unified_demo.history``'s business.
"""

from pathlib import Path
from typing import Any

from unified_demo.errors import UnifiedError
from unified_demo.infer import plain_text
from unified_demo.messages import CallDone, CallFailed, Conversation
from unified_demo.transcript import event_records, message_record, read_events, read_message
from unified_demo.ui.view import AnswerView
from unified_demo.ui.visit import Visit

_ENDS = ("done", "stopped", "failed")


def visit_body(visit: Visit) -> dict[str, Any]:
    """All that is needed to show the conversation again."""
    answers = iter(visit.answers)
    return {
        "messages": [
            {"question": message_record(message)} if message.role == "user" else {"answer": _answer_record(next(answers))}
            for message in visit.conversation.messages
        ]
    }


def visit_title(visit: Visit) -> str:
    """The first question, or what it showed."""
    first = visit.conversation.messages[0]
    return plain_text(first) or ", ".join(visit.conversation.artefacts())


def visit_words(visit: Visit) -> str:
    """What a search looks at."""
    return "\n".join(plain_text(message) for message in visit.conversation.messages)


def restore_visit(visit: Visit, key: str, body: Any, folder: Path) -> None:
    """Show the conversation ``body`` in ``visit``; raises UnifiedError, and changes nothing, when it cannot be read."""
    conversation, answers = read_body(body, folder)
    visit.clear()
    visit.conversation, visit.answers, visit.key = conversation, answers, key


def read_body(body: Any, folder: Path) -> tuple[Conversation, list[AnswerView]]:
    """Conversation and answers; raises UnifiedError."""
    conversation, answers = Conversation(), list[AnswerView]()
    items = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise UnifiedError("This conversation is damaged: it has no messages.")
    for item in items:
        if isinstance(item, dict) and "question" in item:
            conversation = conversation.with_message(read_message(item["question"], folder))
            continue
        view = AnswerView(conversation.artefacts(), answers[-1].all_objects() if answers else ())
        _replay(view, item.get("answer") if isinstance(item, dict) else None, folder)
        conversation = conversation.with_message(view.message())
        answers.append(view)
    return conversation, answers


def _answer_record(view: AnswerView) -> dict[str, Any]:
    again = {"again": event_records(view.told_again)} if view.told_again else {}
    liked = {"liked": view.liked} if view.liked is not None else {}
    return {"state": view.state, "error": view.error, "events": event_records(view.told), **again, **liked}


def _replay(view: AnswerView, record: Any, folder: Path) -> None:
    if not isinstance(record, dict) or record.get("state") not in _ENDS or not isinstance(record.get("error"), str):
        raise UnifiedError("This conversation is damaged: an answer cannot be read.")
    for event in read_events(record.get("events"), folder):
        view.apply(event)
    if record["state"] == "failed":
        view.fail(record["error"])
    view.stop()
    for event in read_events(record.get("again", []), folder):
        if isinstance(event, CallDone | CallFailed) and event.index in view.steps:
            view.wait_again(event.index)
            view.apply_again(event)
    if isinstance(liked := record.get("liked"), bool):
        view.judge(liked)
